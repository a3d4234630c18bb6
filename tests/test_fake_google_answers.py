"""What the fake Google answers beyond plain text: several candidates, log probabilities, sources."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fake_google import Answer, FakeGoogle, Usage, calls, candidates, grounded, text, thoughts
from tests.fake_google.bodies import FLASH_3, FLASH_25, Json, config, events
from tests.fake_google.protojson import check_response
from tests.fake_google.render import to_json

SSE = "streamGenerateContent?alt=sse"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def google(server: FakeGoogle) -> Iterator[FakeGoogle]:
    server.reset()
    yield server
    server.assert_no_refusals()


def asked(google: FakeGoogle, answer: Answer, model: str = FLASH_3, **fields: Any) -> Json:
    """The whole answer to a request with these settings; checked to be of Google's own message."""
    google.enqueue(answer)
    headers = {"x-goog-api-key": "test-key-a"}
    response = requests.post(google.method_url(model=model), json=config(**fields), headers=headers, timeout=5)
    assert response.status_code == 200, response.text
    check_response(response.content)
    body: Json = response.json()
    return body


def streamed(google: FakeGoogle, answer: Answer, model: str = FLASH_3, **fields: Any) -> list[Json]:
    """The events of a streamed answer, each checked."""
    google.enqueue(answer)
    headers = {"x-goog-api-key": "test-key-a"}
    response = requests.post(google.method_url(SSE, model), json=config(**fields), headers=headers, timeout=5)
    assert response.status_code == 200, response.text
    found = events(response.content)
    for event in found:
        check_response(to_json(event))
    return found


def text_of(candidate: Json) -> str:
    return "".join(part.get("text", "") for part in candidate["content"]["parts"])


# -- several candidates ------------------------------------------------------------------------------------------------


def test_copies_are_numbered(google: FakeGoogle) -> None:
    body = asked(google, text("Hel", "lo"), FLASH_25, candidateCount=3)
    assert [(each["index"], text_of(each)) for each in body["candidates"]] == [
        (0, "Hello"),
        (1, "Hello (1)"),
        (2, "Hello (2)"),
    ]


def test_scripted_candidates_come_in_their_order(google: FakeGoogle) -> None:
    script = candidates(text("a"), text("b", finish="MAX_TOKENS"))
    body = asked(google, script, FLASH_25, candidateCount=3)
    assert [text_of(each) for each in body["candidates"]] == ["a", "b", "a (2)"]
    assert [each["finishReason"] for each in body["candidates"]] == ["STOP", "MAX_TOKENS", "STOP"]


def test_one_candidate_is_answered_with_one(google: FakeGoogle) -> None:
    assert len(asked(google, candidates(text("a"), text("b")), FLASH_25)["candidates"]) == 1


def test_streamed_candidates_take_turns(google: FakeGoogle) -> None:
    found = streamed(google, candidates(text("a", "b", "c"), text("x")), FLASH_25, candidateCount=2)
    order = [(event["candidates"][0]["index"], text_of(event["candidates"][0])) for event in found]
    assert order == [(0, "a"), (1, "x"), (0, "b"), (0, "c")]


def test_usage_of_the_last_event_is_as_scripted(google: FakeGoogle) -> None:
    found = streamed(google, text("a", "b", usage=Usage(prompt=5, candidates=40)), FLASH_25, candidateCount=2)
    assert [event["usageMetadata"]["candidatesTokenCount"] for event in found] == [1, 2, 3, 40]


def test_calls_of_copies_have_ids_of_their_own(google: FakeGoogle) -> None:
    body = asked(google, calls(("f", {}), ids=True), FLASH_25, candidateCount=2)
    first, second = (each["content"]["parts"][0]["functionCall"]["id"] for each in body["candidates"])
    assert first != second


# -- log probabilities -------------------------------------------------------------------------------------------------


def test_logprobs_are_told_when_asked_for(google: FakeGoogle) -> None:
    (candidate,) = asked(google, thoughts("Hm. ") + text("Hello my ", "world"), responseLogprobs=True, logprobs=2)[
        "candidates"
    ]
    result = candidate["logprobsResult"]
    assert [each["token"] for each in result["chosenCandidates"]] == ["Hello", " my", " world"]
    assert [len(each["candidates"]) for each in result["topCandidates"]] == [2, 2, 2]
    assert candidate["avgLogprobs"] == pytest.approx(result["logProbabilitySum"] / 3)


def test_alternatives_are_left_out_when_none_are_asked_for(google: FakeGoogle) -> None:
    (candidate,) = asked(google, text("Hello"), responseLogprobs=True)["candidates"]
    assert "topCandidates" not in candidate["logprobsResult"]


def test_logprobs_are_not_told_unasked(google: FakeGoogle) -> None:
    (candidate,) = asked(google, text("Hello"))["candidates"]
    assert not {"logprobsResult", "avgLogprobs"} & candidate.keys()


def test_each_event_tells_the_logprobs_of_its_own_text(google: FakeGoogle) -> None:
    found = streamed(google, text("One ", "two"), responseLogprobs=True)
    tokens = [event["candidates"][0]["logprobsResult"]["chosenCandidates"] for event in found]
    assert [[each["token"] for each in few] for few in tokens] == [["One", " "], ["two"]]


# -- sources -----------------------------------------------------------------------------------------------------------


def supports(body: Json) -> list[Json]:
    found: list[Json] = body["candidates"][0]["groundingMetadata"]["groundingSupports"]
    return found


def test_offsets_of_sources_are_bytes(google: FakeGoogle) -> None:
    body = asked(google, grounded("Grüße 🎉 aus [[Köln|0,1]]."))
    (support,) = supports(body)
    segment = support["segment"]
    assert support["groundingChunkIndices"] == [0, 1]
    assert text_of(body["candidates"][0]) == "Grüße 🎉 aus Köln."
    encoded = text_of(body["candidates"][0]).encode()
    assert encoded[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"] == "Köln"


def test_zeros_of_sources_are_left_out(google: FakeGoogle) -> None:
    first, second = supports(asked(google, grounded("[[Köln|0]] am [[Rhein|1]]", part=2)))
    assert first["segment"] == {"endIndex": 5, "text": "Köln", "partIndex": 2}
    assert second["segment"]["startIndex"] == 9
    assert "partIndex" not in supports(asked(google, grounded("[[Köln|0]]")))[0]["segment"]


def test_sources_can_come_apart_with_usage_last(google: FakeGoogle) -> None:
    *texts, apart, tail = streamed(google, grounded("Hier [[regnet|0]] es.", piece=8, apart=True, tail=True))
    assert "".join(text_of(event["candidates"][0]) for event in texts) == "Hier regnet es."
    assert all("finishReason" not in event["candidates"][0] for event in texts)
    (candidate,) = apart["candidates"]
    assert candidate.keys() == {"index", "finishReason", "groundingMetadata"}
    assert "candidates" not in tail
    assert tail["usageMetadata"]["totalTokenCount"]

"""The fake Google's embedding models: which methods they have, what they refuse, which vectors they give."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fake_google import (
    EMBEDDING_MODELS,
    KNOWN_MODELS,
    FakeGoogle,
    embed_quota_per_day,
    embed_quota_per_minute,
    embedding,
    embeddings,
)
from tests.fake_google.bodies import EMBEDDING_1, EMBEDDING_2, FLASH_3, Json, ask, to_embed
from tests.fake_google.protojson import check_response

PNG = "iVBORw0KGgoAAAANSUhEUg=="
SHOT: Json = {"inlineData": {"mimeType": "image/png", "data": PNG}}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def google(server: FakeGoogle) -> FakeGoogle:
    server.reset()
    return server


def post(google: FakeGoogle, method: str, body: Json, name: str = EMBEDDING_1) -> requests.Response:
    url = google.method_url(method, name)
    return requests.post(url, json=body, headers={"x-goog-api-key": "test-key-a"}, timeout=5)


def vector(google: FakeGoogle, body: Json, name: str = EMBEDDING_1) -> list[float]:
    answer = post(google, "embedContent", body, name)
    assert answer.status_code == 200, answer.text
    check_response(answer.content, method="embedContent")
    found: list[float] = answer.json()["embedding"]["values"]
    return found


def vectors(google: FakeGoogle, *inner: Json, name: str = EMBEDDING_1) -> list[list[float]]:
    answer = post(google, "batchEmbedContents", {"requests": list(inner)}, name)
    assert answer.status_code == 200, answer.text
    check_response(answer.content, method="batchEmbedContents")
    return [each["values"] for each in answer.json()["embeddings"]]


def refusal(google: FakeGoogle, method: str, body: Json, name: str = EMBEDDING_1) -> str:
    answer = post(google, method, body, name)
    assert answer.status_code == 400
    assert len(google.refusals) == 1
    message: str = answer.json()["error"]["message"]
    return message


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_embedding_models_do_not_generate(google: FakeGoogle, name: str, method: str) -> None:
    answer = post(google, method, ask(), name)
    assert answer.status_code == 404
    error = answer.json()[0]["error"] if method == "streamGenerateContent" else answer.json()["error"]
    assert error["message"].startswith(f"models/{name} is not found for API version v1beta, or is not supported for ")


@pytest.mark.parametrize("method", ["embedContent", "batchEmbedContents"])
def test_chat_models_do_not_embed(google: FakeGoogle, method: str) -> None:
    answer = post(google, method, to_embed(name=FLASH_3), FLASH_3)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert f"or is not supported for {method}. Call ListModels" in answer.json()["error"]["message"]


def test_embedding_models_count(google: FakeGoogle) -> None:
    assert post(google, "countTokens", ask()).json()["totalTokens"] == 1


def test_chat_models_are_listed_apart() -> None:
    assert not set(EMBEDDING_MODELS) & set(KNOWN_MODELS)


# -- vectors -----------------------------------------------------------------------------------------------------------


def test_vectors_depend_on_what_is_asked_alone(google: FakeGoogle) -> None:
    first = vector(google, to_embed("a"))
    assert len(first) == 3072
    assert vector(google, to_embed("a", name=None)) == first
    assert vectors(google, to_embed("b"), to_embed("a")) == [vector(google, to_embed("b")), first]
    assert vector(google, to_embed("a", task_type="retrieval_query")) != first
    assert vector(google, to_embed("a", EMBEDDING_2), EMBEDDING_2) != first
    google.assert_no_refusals()


@pytest.mark.parametrize(
    "fields",
    [
        {"outputDimensionality": 10},
        {"output_dimensionality": 10},
        {"embedContentConfig": {"outputDimensionality": 10}},
        {"embed_content_config": {"output_dimensionality": "10", "auto_truncate": False}},
    ],
)
def test_vectors_are_cut(google: FakeGoogle, fields: Json) -> None:
    assert vector(google, to_embed("a", **fields)) == vector(google, to_embed("a"))[:10]


@pytest.mark.parametrize(("name", "is_unit"), [(EMBEDDING_1, False), (EMBEDDING_2, True)])
def test_cut_vectors_have_length_one_from_embedding_2_on(google: FakeGoogle, name: str, is_unit: bool) -> None:
    assert math.hypot(*vector(google, to_embed("a", name), name)) == pytest.approx(1)
    cut = vector(google, to_embed("a", name, outputDimensionality=768), name)
    assert math.isclose(math.hypot(*cut), 1, abs_tol=1e-6) == is_unit


def test_embedding_2_does_not_care_for_the_task(google: FakeGoogle) -> None:
    found = vectors(
        google, to_embed("a", EMBEDDING_2), to_embed("a", EMBEDDING_2, taskType="CLUSTERING"), name=EMBEDDING_2
    )
    assert found[0] == found[1]


def test_embedding_2_sees_pictures_and_001_does_not(google: FakeGoogle) -> None:
    both: Json = {"content": {"parts": [{"text": "a"}, SHOT]}}
    only: Json = {"content": {"parts": [SHOT]}}
    assert len(vector(google, only, EMBEDDING_2)) == len(vector(google, both)) == 3072
    assert "contains an empty Part" in refusal(google, "embedContent", only)


def test_inputs_are_recorded(google: FakeGoogle) -> None:
    vectors(
        google, to_embed("a"), {"model": f"models/{EMBEDDING_1}", "content": {"parts": [{"text": "b"}, {"text": "c"}]}}
    )
    vector(google, to_embed("d"))
    assert [request.inputs for request in google.requests] == [["a", "bc"], ["d"]]
    assert [request.method for request in google.requests] == ["batchEmbedContents", "embedContent"]


def test_answers_can_be_scripted(google: FakeGoogle) -> None:
    google.enqueue(embedding(0.5, 1), method="embedContent")
    google.enqueue(embeddings([0.1], [0.2]), embed_quota_per_minute(), method="batchEmbedContents")
    assert vectors(google, to_embed("a")) == [[0.1], [0.2]]
    assert vector(google, to_embed("a")) == [0.5, 1]
    assert post(google, "batchEmbedContents", {"requests": [to_embed("a")]}).status_code == 429
    assert google.pending == 0


@pytest.mark.parametrize(
    ("answer", "word"), [(embed_quota_per_minute(), "PerMinute"), (embed_quota_per_day(), "PerDay")]
)
def test_quotas_of_embeddings_are_their_own(google: FakeGoogle, answer: Any, word: str) -> None:
    google.enqueue(answer, method="embedContent")
    details = post(google, "embedContent", to_embed()).json()["error"]["details"]
    violation = details[1]["violations"][0]
    assert violation["quotaId"] == f"EmbedContentRequests{word}PerUserPerProjectPerModel-FreeTier"
    assert violation["quotaMetric"] == "generativelanguage.googleapis.com/embed_content_free_tier_requests"
    assert violation["quotaDimensions"] == {"location": "global", "model": "gemini-embedding-1.0"}


# -- refusals ----------------------------------------------------------------------------------------------------------

NAMED = f"models/{EMBEDDING_1}"
SINGLE: dict[str, tuple[Json, str]] = {
    "no content": ({}, "* EmbedContentRequest.content: content is not specified\n"),
    "no text": (to_embed(""), "* EmbedContentRequest.content contains an empty Part.\n"),
    "no parts": ({"content": {"parts": []}}, "* EmbedContentRequest.content contains an empty Part.\n"),
    "an empty part": ({"content": {"parts": [{"text": "a"}, {"text": ""}]}}, "contains an empty Part.\n"),
    "several contents": ({"contents": [{"parts": [{"text": "a"}]}]}, 'Unknown name "contents": Cannot find field.'),
    "another model": (to_embed(name=EMBEDDING_2), "* EmbedContentRequest.model: must match"),
    "a bare name": (
        {**to_embed(), "model": EMBEDDING_1},
        "* EmbedContentRequest.model: unexpected model name format\n",
    ),
    "a task that is none": (
        to_embed(taskType="SEARCH"),
        "Invalid value at 'task_type' (type.googleapis.com/google.ai.",
    ),
    "a size of 0": (to_embed(outputDimensionality=0), "* EmbedContentRequest.output_dimensionality: must be between 1"),
    "a size beyond all": (to_embed(outputDimensionality=3073), "between 1 and 3072."),
    "a size beyond all, nested": (
        to_embed(embedContentConfig={"outputDimensionality": 3073}),
        "* EmbedContentRequest.embed_content_config.output_dimensionality: must be between",
    ),
    "a size that is no number": (
        to_embed(outputDimensionality="many"),
        "Invalid value at 'output_dimensionality' (TYPE_INT32)",
    ),
    "truncation in the wrong place": (to_embed(autoTruncate=False), 'Unknown name "autoTruncate": Cannot find field.'),
    "a title that is none": (to_embed(title=1), "Invalid value at 'title' (TYPE_STRING), 1"),
    "the words of OpenAI": ({"input": "a"}, 'Unknown name "input": Cannot find field.'),
}
BATCH: dict[str, tuple[Json, str]] = {
    "no requests": ({}, "* BatchEmbedContentsRequest.requests: must not be empty.\n"),
    "101 requests": (
        {"requests": [to_embed()] * 101},
        "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n",
    ),
    "no model": (
        {"requests": [to_embed(), to_embed(name=None)]},
        "* BatchEmbedContentsRequest.requests[1].model: model is not specified\n",
    ),
    "bare names": (
        {"model": EMBEDDING_1, "requests": [{**to_embed(), "model": EMBEDDING_1}]},
        "* BatchEmbedContentsRequest.model: unexpected model name format\n"
        "* BatchEmbedContentsRequest.requests[0].model: unexpected model name format\n",
    ),
    "another model": (
        {"requests": [to_embed(name=EMBEDDING_2)]},
        "* BatchEmbedContentsRequest.requests[0].model: must match",
    ),
    "a size of 0": (
        {"requests": [to_embed(), to_embed(outputDimensionality=0)]},
        "* BatchEmbedContentsRequest.requests[1].output_dimensionality: must be",
    ),
    "no text": ({"requests": [to_embed(), to_embed("")]}, "* EmbedContentRequest.content contains an empty Part.\n"),
    "a single request": (to_embed(), 'Unknown name "content": Cannot find field.'),
    "unknown name inside": (
        {"requests": [to_embed(dimensions=5)]},
        "Unknown name \"dimensions\" at 'requests[0]': Cannot find field.",
    ),
}


@pytest.mark.parametrize(("body", "words"), SINGLE.values(), ids=SINGLE)
def test_a_bad_request_is_refused(google: FakeGoogle, body: Json, words: str) -> None:
    assert words in refusal(google, "embedContent", body)


@pytest.mark.parametrize(("body", "words"), BATCH.values(), ids=BATCH)
def test_a_bad_batch_is_refused(google: FakeGoogle, body: Json, words: str) -> None:
    assert words in refusal(google, "batchEmbedContents", body)


def test_a_hundred_requests_are_no_more_than_enough(google: FakeGoogle) -> None:
    assert len(vectors(google, *[to_embed(str(number), outputDimensionality=1) for number in range(100)])) == 100


def test_titles_are_taken(google: FakeGoogle) -> None:
    assert vector(google, to_embed(taskType="RETRIEVAL_DOCUMENT", title="t", outputDimensionality=1))
    google.assert_no_refusals()


def test_a_lone_value_is_a_list_of_one_for_native_clients(google: FakeGoogle) -> None:
    body: Json = {"requests": {"model": NAMED, "content": {"parts": {"text": "a"}}}}
    assert "Invalid value at 'requests'" in refusal(google, "batchEmbedContents", body)
    google.native = True
    assert post(google, "batchEmbedContents", body).status_code == 200

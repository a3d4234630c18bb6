"""Everything that a Chat Completions request can ask for beyond words and tools: real openai SDK, strict fake."""

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
import requests

from tests.e2e.conftest import Agproxy, accounts_ini, start_gunicorn
from tests.e2e.test_chat import WEATHER, png
from tests.fake_google import (
    KNOWN_MODELS,
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    calls,
    error,
    grounded,
    slow,
    text,
    thoughts,
)
from tests.fake_google.families import family_of

ClientOf = Callable[..., openai.OpenAI]
Json = dict[str, Any]

HELLO: Any = [{"role": "user", "content": "Hi"}]
EFFORTS: Any = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
FLASH_25, FLASH_3, LATEST = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest"
PDF = base64.b64encode(b"%PDF-1.7\n%%EOF").decode()
WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Forecast(pydantic.BaseModel):
    """What the model is to answer with."""

    city: str
    days: list[int]
    wind: str | None = None


FORECAST = '{"city": "Zürich", "days": [1, 2], "wind": null}'


@pytest.fixture
def client(agproxy: Agproxy, client_of: ClientOf) -> openai.OpenAI:
    return client_of(agproxy)


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """An agproxy whose INI says something of safety and of families, and whose pings come fast."""
    ini = "[upstream]\nping_s = 0.2\n\n[safety]\nharassment = none\ncivic_integrity = off\n\n"
    ini += "[families]\ngemini-flash-latest = gemini-2.5-flash\n\n"
    with contextlib.ExitStack() as stack:
        yield start_gunicorn(stack, tmp_path_factory.mktemp("configured"), ini + accounts_ini(_google, "a"))


@contextlib.contextmanager
def refusing(google: FakeGoogle, *words: str) -> Iterator[None]:
    """Within it the fake must refuse something, in each of these words and in no others."""
    yield
    found = [str(request.refusal) for request in google.refusals]
    assert found
    assert all(any(each in refusal for refusal in found) for each in words), found
    assert all(any(each in refusal for each in words) for refusal in found), found
    google.reset()


def config(request: RecordedRequest) -> Json:
    found: Json = request.body.get("generationConfig", {})
    return found


def message(client: openai.OpenAI, *, stream: bool, **body: Any) -> Json:
    """The first choice's message; of a stream put together by hand, for the SDK knows nothing of Google's additions."""
    body = {"model": LATEST, "messages": HELLO, **body}
    if not stream:
        return dict(client.chat.completions.create(**body).choices[0].message.model_dump(exclude_none=True))
    whole: Json = {}
    for chunk in client.chat.completions.create(**body, stream=True):
        for name, value in (chunk.choices[0].delta.model_dump(exclude_none=True) if chunk.choices else {}).items():
            whole[name] = whole[name] + value if name in whole else value
    return whole


class TestJson:
    @pytest.mark.parametrize("model", [LATEST, FLASH_25, FLASH_3, "gemini-4-argon"])
    def test_model_of_pydantic_is_parsed(self, client: openai.OpenAI, google: FakeGoogle, model: str) -> None:
        google.enqueue(text(FORECAST))
        reply = client.chat.completions.parse(model=model, messages=HELLO, response_format=Forecast)
        assert reply.choices[0].message.parsed == Forecast(city="Zürich", days=[1, 2])
        sent = config(google.requests[0])
        assert sent["responseMimeType"] == "application/json"
        assert set(sent["responseJsonSchema"]["properties"]) == {"city", "days", "wind"}

    def test_model_of_pydantic_is_parsed_from_a_stream(self, client: openai.OpenAI, google: FakeGoogle) -> None:
        google.enqueue(text(*FORECAST))
        with client.chat.completions.stream(model=LATEST, messages=HELLO, response_format=Forecast) as stream:
            for _ in stream:
                pass
            reply = stream.get_final_completion()
        assert reply.choices[0].message.parsed == Forecast(city="Zürich", days=[1, 2])

    @pytest.mark.parametrize(("model", "in_words"), [(FLASH_25, True), (FLASH_3, False)])
    def test_beside_tools(self, client: openai.OpenAI, google: FakeGoogle, model: str, in_words: bool) -> None:
        """Gemini 2.5 has no JSON mode beside functions: it is told in words, and what it fences is taken out."""
        google.enqueue(text(f"```json\n{FORECAST}\n```") if in_words else text(FORECAST))
        tool: Any = openai.pydantic_function_tool(Forecast, name="look")
        raw = client.chat.completions.with_raw_response.parse(
            model=model, messages=HELLO, response_format=Forecast, tools=[tool]
        )
        assert raw.parse().choices[0].message.parsed == Forecast(city="Zürich", days=[1, 2])
        assert google.requests[0].tool_names == ["look"]
        assert ("responseJsonSchema" in config(google.requests[0])) is not in_words
        assert ("JSON Schema" in json.dumps(google.requests[0].body.get("systemInstruction", ""))) is in_words
        assert ("response_format" in raw.headers["X-Agproxy-Ignored"].split(", ")) is in_words

    def test_beside_tools_a_call_is_still_a_call(self, client: openai.OpenAI, google: FakeGoogle) -> None:
        google.enqueue(calls(("get_weather", {"city": "Bern"})))
        reply = message(client, stream=False, model=FLASH_25, tools=[WEATHER], response_format={"type": "json_object"})
        assert reply["tool_calls"][0]["function"]["name"] == "get_weather"

    @streamed
    @pytest.mark.parametrize("model", [LATEST, FLASH_25])
    def test_object(self, client: openai.OpenAI, google: FakeGoogle, model: str, stream: bool) -> None:
        google.enqueue(text('{"a"', ": 1}"))
        reply = message(client, stream=stream, model=model, response_format={"type": "json_object"})
        assert json.loads(reply["content"]) == {"a": 1}
        assert config(google.requests[0]) == {"responseMimeType": "application/json"}


class TestSeveralChoices:
    @pytest.mark.parametrize("model", [FLASH_25, "gemini-3.6-flash"])
    def test_whole(self, client: openai.OpenAI, google: FakeGoogle, model: str) -> None:
        self.warm_up(client, google, model)
        google.default = text("Hello", usage=Usage(prompt=10, candidates=7))
        reply = client.chat.completions.create(model=model, messages=HELLO, n=3)
        assert [choice.index for choice in reply.choices] == [0, 1, 2]
        assert all((choice.message.content or "").startswith("Hello") for choice in reply.choices)
        assert [choice.finish_reason for choice in reply.choices] == ["stop"] * 3
        assert reply.usage is not None
        requests_made = 1 if model == FLASH_25 else 3
        assert len(google.requests) == requests_made
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (10 * requests_made, 7 * requests_made)

    @pytest.mark.parametrize("model", [FLASH_25, "gemini-3.7-flash"])
    def test_streamed(self, client: openai.OpenAI, google: FakeGoogle, model: str) -> None:
        self.warm_up(client, google, model)
        google.default = text("Hel", "lo", usage=Usage(prompt=10, candidates=7))
        chunks = list(
            client.chat.completions.create(
                model=model, messages=HELLO, n=3, stream=True, stream_options={"include_usage": True}
            )
        )
        words = {0: "", 1: "", 2: ""}
        ends: list[tuple[int, str]] = []
        for chunk in chunks:
            for choice in chunk.choices:
                words[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    ends.append((choice.index, choice.finish_reason))
        assert all(each.startswith("Hello") for each in words.values())
        assert sorted(ends) == [(0, "stop"), (1, "stop"), (2, "stop")]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.prompt_tokens == (10 if model == FLASH_25 else 30)

    def test_model_that_gives_one_is_asked_for_several_only_once(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        with refusing(google, "Multiple candidates is not enabled"):
            assert len(agproxy.chat(model="gemini-3.5-flash", n=2).json()["choices"]) == 2
            assert [request.outcome for request in google.requests] == [400, 200, 200]
        response = agproxy.chat(model="gemini-3.5-flash", n=2)
        assert [request.outcome for request in google.requests] == [200, 200]
        assert "X-Agproxy-Ignored" not in response.headers

    @streamed
    def test_failure_of_one_fails_the_whole(self, client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
        self.warm_up(client, google, "gemini-3.6-flash")
        google.enqueue(text("a"), error(400, message="not this one"))
        with pytest.raises(openai.APIError, match="not this one"):
            message(client, stream=stream, model="gemini-3.6-flash", n=2)

    def test_client_that_leaves_ends_them_all(
        self, configured: Agproxy, client_of: ClientOf, google: FakeGoogle
    ) -> None:
        self.warm_up(client_of(configured), google, "gemini-3.6-flash")
        google.default = slow(text("a", "b"), between_s=30)
        body = {"model": "gemini-3.6-flash", "messages": HELLO, "n": 3, "stream": True}
        with requests.post(configured.url + "/v1/chat/completions", json=body, stream=True, timeout=10) as response:
            next(response.iter_lines())
            google.wait_for(3)
        google.wait_until(lambda: all(request.client_closed_at for request in google.requests))
        assert len(google.requests) == 3

    @staticmethod
    def warm_up(client: openai.OpenAI, google: FakeGoogle, model: str) -> None:
        """Let agproxy find out how many answers the model gives; what is refused on the way is meant to be."""
        client.chat.completions.create(model=model, messages=HELLO, n=2)
        assert all("Multiple candidates" in str(request.refusal) for request in google.refusals)
        google.reset()


class TestLogprobs:
    @streamed
    def test_are_told(self, client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(text("Grüezi ", "wohl"))
        body: Any = {"model": FLASH_3, "messages": HELLO, "logprobs": True, "top_logprobs": 2}
        if stream:
            chunks = client.chat.completions.create(**body, stream=True)
            scored = [chunk.choices[0].logprobs.content for chunk in chunks if chunk.choices[0].logprobs]
            tokens = [token for few in scored for token in few or ()]
        else:
            logprobs = client.chat.completions.create(**body).choices[0].logprobs
            assert logprobs is not None
            tokens = logprobs.content or []
        assert "".join(token.token for token in tokens) == "Grüezi wohl"
        assert bytes(tokens[0].bytes or ()).decode() == tokens[0].token
        assert all(len(token.top_logprobs) == 2 and token.logprob < 0 for token in tokens)
        assert tokens[0].top_logprobs[0].token == tokens[0].token

    def test_that_the_model_does_not_tell_are_listed(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        with refusing(google, "Logprobs is not enabled for models/gemini-2.5-pro"):
            response = agproxy.chat(model="gemini-2.5-pro", logprobs=True)
            assert response.headers["X-Agproxy-Ignored"] == "logprobs"
            assert response.json()["choices"][0]["logprobs"] is None


class TestReasoning:
    @pytest.mark.parametrize("model", KNOWN_MODELS)
    def test_every_effort_is_taken_by_every_model(self, agproxy: Agproxy, google: FakeGoogle, model: str) -> None:
        for effort in EFFORTS:
            response = agproxy.chat(model=model, reasoning_effort=effort)
            assert response.status_code == 200, response.text
        told = ["thinkingConfig" in config(request) for request in google.requests]
        assert told == [family_of(model).thinks] * len(EFFORTS)

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
    @streamed
    def test_thoughts_come_back_when_asked_for(
        self, client: openai.OpenAI, google: FakeGoogle, model: str, stream: bool
    ) -> None:
        google.default = self.thinking_aloud
        assert message(client, stream=stream, model=model, reasoning_effort="low")["reasoning_content"] == "Hm. Well."
        assert "reasoning_content" not in message(client, stream=stream, model=model)

    @streamed
    def test_thoughts_asked_for_in_googles_words(self, client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
        google.default = self.thinking_aloud
        extra = {"extra_body": {"google": {"thinking_config": {"thinking_budget": 2000, "include_thoughts": True}}}}
        assert message(client, stream=stream, model=FLASH_25, extra_body=extra)["reasoning_content"] == "Hm. Well."
        assert config(google.requests[0])["thinkingConfig"] == {"thinkingBudget": 2000, "includeThoughts": True}

    def test_none_is_told_where_the_model_cannot_stop(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        response = agproxy.chat(model="gemini-3.1-pro-preview", reasoning_effort="none")
        assert response.headers["X-Agproxy-Ignored"] == "reasoning_effort"
        assert config(google.requests[0])["thinkingConfig"] == {"thinkingLevel": "low"}

    @staticmethod
    def thinking_aloud(request: RecordedRequest) -> Answer:
        asked = request.canonical.get("generation_config", {}).get("thinking_config", {})
        answer = text("Yes.")
        return thoughts("Hm. ", "Well.") + answer if asked.get("include_thoughts") else answer


class TestRefusedSettings:
    def test_penalties_are_left_out_listed_and_not_tried_again(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        body: Json = {"model": "gemini-3.1-pro-preview", "presence_penalty": 0.5, "frequency_penalty": -0.5}
        with refusing(google, "Penalty is not enabled for this model"):
            first = agproxy.chat(**body)
            assert [request.outcome for request in google.requests] == [400, 200]
        second = agproxy.chat(**body, stream=True)
        assert [request.outcome for request in google.requests] == [200]
        assert first.headers["X-Agproxy-Ignored"] == "presence_penalty, frequency_penalty"
        assert second.headers["X-Agproxy-Ignored"] == "presence_penalty, frequency_penalty"

    def test_penalties_of_zero_ask_for_nothing(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        response = agproxy.chat(model="gemini-3.1-flash-lite", presence_penalty=0, frequency_penalty=0.0)
        assert "X-Agproxy-Ignored" not in response.headers
        assert config(google.requests[0]) == {}

    @streamed
    def test_sampling_that_a_future_model_refuses(self, agproxy: Agproxy, google: FakeGoogle, stream: bool) -> None:
        model = "gemini-4-carbon" if stream else "gemini-4-hydrogen"
        google.refuse_sampling = True
        with refusing(google, "temperature is deprecated"):
            response = agproxy.chat(model=model, temperature=0.5, top_p=0.5, max_tokens=50, stream=stream)
            assert "Hello" in response.text
            assert config(google.requests[1]) == {"maxOutputTokens": 50}
            assert response.headers["X-Agproxy-Ignored"] == "temperature, top_p"

    def test_instructions_of_gemma_become_its_first_words(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        messages = [{"role": "system", "content": "Be brief."}, *HELLO]
        with refusing(google, "Developer instruction is not enabled"):
            assert agproxy.chat(model="gemma-3-27b-it", messages=messages).status_code == 200
            (content,) = google.requests[1].body["contents"]
            assert content["parts"] == [{"text": "Be brief."}, {"text": "Hi"}]

    def test_each_of_many_is_found_out(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        body: Json = {"model": "gemini-2.5-flash-lite", "presence_penalty": 1, "logprobs": True, "n": 2}
        with refusing(google, "Penalty", "Logprobs"):
            response = agproxy.chat(**body, reasoning_effort="high", response_format={"type": "json_object"})
            assert response.headers["X-Agproxy-Ignored"] == "presence_penalty, logprobs"
            assert len(response.json()["choices"]) == 2


class TestWebSearch:
    MARKED = "In 🏔️ Zürich hat es [[18 °C|0]], in 東京 [[regnet es 🌧️|0,1]]."
    PLAIN = "In 🏔️ Zürich hat es 18 °C, in 東京 regnet es 🌧️."

    @streamed
    @pytest.mark.parametrize("model", [FLASH_25, LATEST])
    @pytest.mark.parametrize("apart", [False, True], ids=["beside text", "apart"])
    def test_pages_are_cited_by_character(
        self, client: openai.OpenAI, google: FakeGoogle, model: str, stream: bool, apart: bool
    ) -> None:
        google.enqueue(thoughts("Ich suche.") + grounded(self.MARKED, part=1, piece=5, apart=apart, tail=apart))
        reply = message(client, stream=stream, model=model, web_search_options={})
        assert reply["content"] == self.PLAIN
        assert google.requests[0].body["tools"] == [{"googleSearch": {}}]
        cited = [annotation["url_citation"] for annotation in reply["annotations"]]
        assert {annotation["type"] for annotation in reply["annotations"]} == {"url_citation"}
        assert [(each["url"], self.PLAIN[each["start_index"] : each["end_index"]]) for each in cited] == [
            ("https://example.com/a", "18 °C"),
            ("https://example.com/a", "regnet es 🌧️"),
            ("https://example.com/b", "regnet es 🌧️"),
        ]

    def test_answer_without_a_search_has_no_annotations(self, client: openai.OpenAI, google: FakeGoogle) -> None:
        assert "annotations" not in message(client, stream=False, web_search_options={})
        assert len(google.requests) == 1

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3])
    def test_beside_functions_is_left_out_and_listed(self, agproxy: Agproxy, google: FakeGoogle, model: str) -> None:
        response = agproxy.chat(model=model, tools=[WEATHER], web_search_options={})
        assert response.status_code == 200
        assert "web_search_options" in response.headers["X-Agproxy-Ignored"].split(", ")
        assert google.requests[0].tool_names == ["get_weather"]
        assert "googleSearch" not in json.dumps(google.requests[0].body)

    def test_beside_json_on_2_5_json_is_asked_for_in_words(self, agproxy: Agproxy, google: FakeGoogle) -> None:
        response = agproxy.chat(model=FLASH_25, web_search_options={}, response_format={"type": "json_object"})
        assert response.headers["X-Agproxy-Ignored"] == "response_format"
        assert google.requests[0].body["tools"] == [{"googleSearch": {}}]


class TestCalls:
    @streamed
    @pytest.mark.parametrize("model", [FLASH_25, LATEST])
    def test_one_at_a_time(self, client: openai.OpenAI, google: FakeGoogle, model: str, stream: bool) -> None:
        google.enqueue(calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})))
        reply = message(client, stream=stream, model=model, tools=[WEATHER], parallel_tool_calls=False)
        names = {call["function"]["name"] for call in reply["tool_calls"] if call["function"].get("name")}
        arguments = "".join(call["function"].get("arguments", "") for call in reply["tool_calls"])
        assert (names, json.loads(arguments)) == ({"get_weather"}, {"city": "Oslo"})
        assert "at most one function" in json.dumps(google.requests[0].body["systemInstruction"])

    @pytest.mark.parametrize(("mode", "wire"), [("auto", "VALIDATED"), ("required", "ANY")])
    def test_allowed_tools(self, client: openai.OpenAI, google: FakeGoogle, mode: str, wire: str) -> None:
        other: Any = {"type": "function", "function": {"name": "now"}}
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [WEATHER]}}
        message(client, stream=False, tools=[WEATHER, other], tool_choice=choice)
        calling = google.requests[0].body["toolConfig"]["functionCallingConfig"]
        assert calling == {"mode": wire, "allowedFunctionNames": ["get_weather"]}
        assert google.requests[0].tool_names == ["get_weather", "now"]

    @streamed
    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
    def test_older_functions_go_round(
        self, client: openai.OpenAI, google: FakeGoogle, model: str, stream: bool
    ) -> None:
        google.enqueue(
            calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})),
            lambda request: text(request.results[0]["response"]["output"]),
        )
        body: Any = {"model": model, "messages": HELLO, "functions": [WEATHER["function"]]}
        if stream:
            chunks = list(client.chat.completions.create(**body, stream=True))
            deltas = [chunk.choices[0].delta.function_call for chunk in chunks]
            call = {
                "name": "".join(each.name or "" for each in deltas if each),
                "arguments": "".join(each.arguments or "" for each in deltas if each),
            }
            finish_reason = chunks[-1].choices[0].finish_reason
        else:
            choice = client.chat.completions.create(**body).choices[0]
            assert choice.message.function_call is not None
            call, finish_reason = choice.message.function_call.model_dump(), choice.finish_reason
        assert finish_reason == "function_call"
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Oslo"})
        messages = [
            *HELLO,
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "get_weather", "content": "cold"},
        ]
        reply = client.chat.completions.create(**{**body, "messages": messages, "function_call": "auto"})
        assert reply.choices[0].message.content == "cold"


class TestFiles:
    @pytest.mark.parametrize(
        ("part", "sent"),
        [
            (
                {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
                {"inlineData": {"mimeType": "audio/wav", "data": WAV}},
            ),
            (
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
            ),
            (
                {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
                {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
            ),
            (
                {"type": "file", "file": {"filename": "a.py", "file_data": "data:text/x-python;base64,eCA9IDE="}},
                {"inlineData": {"mimeType": "text/plain", "data": "eCA9IDE="}},
            ),
            (
                {"type": "image_url", "image_url": {"url": png()}},
                {"inlineData": {"mimeType": "image/png", "data": png().partition(",")[2]}},
            ),
            (
                {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg?size=1"}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg?size=1"}},
            ),
            (
                {"type": "image_url", "image_url": {"url": "https://example.com/picture"}},
                {"fileData": {"fileUri": "https://example.com/picture"}},
            ),
            (
                {"type": "file", "file": {"file_id": "files/abc-123"}},
                {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc-123"}},
            ),
        ],
        ids=[
            "audio",
            "PDF",
            "PDF without a scheme",
            "source text",
            "image",
            "image URL",
            "URL without type",
            "file id",
        ],
    )
    def test_reach_google(self, client: openai.OpenAI, google: FakeGoogle, part: Any, sent: Json) -> None:
        content: Any = [{"type": "text", "text": "What is this?"}, part]
        message(client, stream=False, messages=[{"role": "user", "content": content}])
        assert google.requests[0].body["contents"][0]["parts"][1] == sent


HARASSMENT = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}


class TestGooglesOwnFields:
    @pytest.mark.parametrize("model", [FLASH_3, LATEST])
    def test_thinking_level(self, client: openai.OpenAI, google: FakeGoogle, model: str) -> None:
        extra = {"extra_body": {"google": {"thinking_config": {"thinking_level": "HIGH"}}}}
        message(client, stream=False, model=model, extra_body=extra)
        assert config(google.requests[0])["thinkingConfig"]["thinkingLevel"] == "high"

    def test_safety_settings(self, client: openai.OpenAI, google: FakeGoogle) -> None:
        message(client, stream=False, extra_body={"extra_body": {"google": {"safety_settings": [HARASSMENT]}}})
        assert google.requests[0].body["safetySettings"] == [HARASSMENT]

    def test_cached_content_of_others_is_the_clients_mistake(
        self, agproxy: Agproxy, client: openai.OpenAI, google: FakeGoogle
    ) -> None:
        extra = {"extra_body": {"google": {"cached_content": "cachedContents/abc"}}}
        with refusing(google, "CachedContent not found"):
            with pytest.raises(openai.BadRequestError, match="CachedContent not found"):
                message(client, stream=False, extra_body=extra)
            assert google.requests[0].body["cachedContent"] == "cachedContents/abc"
        assert agproxy.chat().status_code == 200  # the account does not rest for it


class TestConfiguration:
    def test_safety_holds_where_the_client_says_nothing(self, configured: Agproxy, google: FakeGoogle) -> None:
        assert configured.chat().status_code == 200
        assert google.requests[0].body["safetySettings"] == [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_CIVIC_INTEGRITY", "threshold": "BLOCK_NONE"},
        ]

    def test_clients_safety_counts_more(self, configured: Agproxy, google: FakeGoogle) -> None:
        assert configured.chat(google={"safety_settings": [HARASSMENT]}).status_code == 200
        assert google.requests[0].body["safetySettings"][0] == HARASSMENT

    def test_family_decides_about_the_rules_and_not_about_the_model(
        self, configured: Agproxy, google: FakeGoogle
    ) -> None:
        assert configured.chat(model=LATEST, reasoning_effort="low").status_code == 200
        assert google.requests[0].model == LATEST
        assert config(google.requests[0])["thinkingConfig"] == {"thinkingBudget": 1024, "includeThoughts": True}


def user(part: Json) -> Json:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"web_search_options": 5}, "web_search_options"),
        ({"parallel_tool_calls": "no", "tools": [WEATHER]}, "parallel_tool_calls"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": ""}]}, "functions[0].name"),
        ({"functions": [WEATHER["function"]], "function_call": {"name": "nobody"}}, "function_call"),
        (
            {"google": {"thinking_config": {"thinking_budget": 1, "thinking_level": "low"}}},
            "google.thinking_config.thinking_budget",
        ),
        ({"extra_body": {"google": {"safety_settings": [{}]}}}, "extra_body.google.safety_settings[0].category"),
        (user({"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}), "image_url.url"),
        (user({"type": "image_url", "image_url": {"url": "https://127.0.0.1/a.png"}}), "image_url.url"),
        (user({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}), "image_url.url"),
        (user({"type": "input_audio", "input_audio": {"data": "YQ==", "format": "midi"}}), "input_audio.data"),
        (user({"type": "file", "file": {"file_id": "file-abc"}}), "file.file_id"),
        (user({"type": "video"}), "type"),
    ],
    ids=str,
)
def test_bad_input_is_named_before_google_is_asked(
    agproxy: Agproxy, google: FakeGoogle, body: Json, param: str
) -> None:
    response = agproxy.chat(**body)
    assert response.status_code == 400, response.text
    named = response.json()["error"]["param"]
    assert named == (f"messages[0].content[0].{param}" if "messages" in body else param)
    assert google.requests == []

"""Sampling, the answer's format, safety: what is sent to whom, and what is done without."""

import json
from typing import Any

import pytest

from agproxy.chat import ChatRequest, JsonFormat, Message, Sampling, TextPart, Thinking, Tool, ToolChoice
from agproxy.errors import UpstreamRefusal
from agproxy.upstreams.gemini_errors import refused_setting
from agproxy.upstreams.gemini_request import EncodedRequest, encode_request
from agproxy.upstreams.gemini_settings import Settings, encode_settings
from tests.fake_google import KNOWN_MODELS, Refusal, Rules, validate

FLASH_25, FLASH_3, ARGON, GEMMA = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-4-argon", "gemma-3-27b-it"
HELLO = (Message("user", (TextPart("Hello."),)),)
LOOK = Tool("look", "d", {"type": "object", "properties": {"at": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]}
CIVIC = "HARM_CATEGORY_CIVIC_INTEGRITY"


def settings_of(
    model: str = FLASH_3,
    *,
    without: tuple[str, ...] = (),
    safety: tuple[tuple[str, str], ...] = (),
    **fields: Any,
) -> Settings:
    chat = ChatRequest("m", HELLO, **fields)
    return encode_settings(chat, model=model, without=frozenset(without), safety=safety)


def config_of(model: str = FLASH_3, **fields: Any) -> dict[str, Any]:
    config: dict[str, Any] = settings_of(model, **fields).body.get("generationConfig", {})
    return config


def encoded(model: str = FLASH_3, *, without: tuple[str, ...] = (), **fields: Any) -> EncodedRequest:
    return encode_request(ChatRequest("m", HELLO, **fields), model=model, without=frozenset(without))


def instruction(request: EncodedRequest) -> str:
    body = json.loads(request.body)
    return "\n".join(part["text"] for part in body.get("systemInstruction", {"parts": ()})["parts"])


def test_nothing_asked_is_nothing_said() -> None:
    assert settings_of() == Settings()


class TestSampling:
    @pytest.mark.parametrize(
        ("name", "value", "sent"),
        [
            ("temperature", 0.0, {"temperature": 0.0}),
            ("top_p", 0.5, {"topP": 0.5}),
            ("top_k", 40, {"topK": 40}),
            ("max_output_tokens", 100, {"maxOutputTokens": 100}),
            ("stop", ("a", "b"), {"stopSequences": ["a", "b"]}),
            ("seed", 0, {"seed": 0}),
            ("presence_penalty", 0.5, {"presencePenalty": 0.5}),
            ("frequency_penalty", -0.5, {"frequencyPenalty": -0.5}),
            ("choices", 1, {}),
            ("choices", 3, {"candidateCount": 3}),
            ("top_logprobs", 0, {"responseLogprobs": True}),
            ("top_logprobs", 5, {"responseLogprobs": True, "logprobs": 5}),
        ],
    )
    def test_each_by_geminis_name(self, name: str, value: object, sent: dict[str, Any]) -> None:
        assert config_of(sampling=Sampling(**{name: value})) == sent  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("model", "asked", "sent"),
        [
            ("gemini-2.5-flash", 128_000, 65536),
            ("gemini-flash-latest", 128_000, 65536),
            ("gemini-3.8-flash", 65536, 65536),
            ("gemini-3-pro-image", 65536, 32768),
            ("gemini-4-argon", 128_000, 128_000),
            ("gemma-3-27b-it", 128_000, 128_000),
        ],
    )
    def test_limit_of_tokens_is_no_more_than_the_model_gives(self, model: str, asked: int, sent: int) -> None:
        assert config_of(model, sampling=Sampling(max_output_tokens=asked)) == {"maxOutputTokens": sent}

    @pytest.mark.parametrize(
        ("setting", "sampling", "ignored"),
        [
            ("penalties", Sampling(presence_penalty=1.0), ["presence_penalty"]),
            ("penalties", Sampling(frequency_penalty=1.0), ["frequency_penalty"]),
            ("logprobs", Sampling(top_logprobs=0), ["logprobs"]),
            ("logprobs", Sampling(top_logprobs=3), ["logprobs"]),
            ("sampling", Sampling(temperature=1.0, top_k=3), ["temperature", "top_k"]),
            ("temperature", Sampling(temperature=1.0), ["temperature"]),
            ("top_p", Sampling(top_p=0.5), ["top_p"]),
            ("top_k", Sampling(top_k=3), ["top_k"]),
            ("n", Sampling(choices=3), []),  # which is honoured by several calls
        ],
    )
    def test_what_was_refused_is_left_out_and_listed(
        self, setting: str, sampling: Sampling, ignored: list[str]
    ) -> None:
        assert setting in settings_of(sampling=sampling).used
        left = settings_of(sampling=sampling, without=(setting,))
        assert (left.body, left.used, left.ignored) == ({}, set(), ignored)

    @pytest.mark.parametrize("model", ["gemini-3.6-flash", "gemini-3.5-flash-lite", ARGON])
    def test_what_the_model_disregards_is_sent_and_listed(self, model: str) -> None:
        settings = settings_of(model, sampling=Sampling(temperature=0.5, top_p=0.5))
        assert settings.body == {"generationConfig": {"temperature": 0.5, "topP": 0.5}}
        assert settings.ignored == ["temperature", "top_p"]

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, "gemini-3.5-flash", "gemini-flash-latest", GEMMA])
    def test_where_it_counts_nothing_is_listed(self, model: str) -> None:
        assert settings_of(model, sampling=Sampling(temperature=0.5)).ignored == []


class TestThinking:
    def test_is_sent_as_the_family_has_it(self) -> None:
        assert config_of(FLASH_25, thinking=Thinking("low")) == {
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}
        }
        assert config_of(FLASH_3, thinking=Thinking("low")) == {
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}
        }

    @pytest.mark.parametrize(
        ("thinking", "ignored"),
        [
            (Thinking("low"), ["reasoning_effort"]),
            (Thinking(budget_tokens=5000), ["thinking_budget"]),
            (Thinking(show=True), ["include_thoughts"]),
            (Thinking(), []),
        ],
    )
    def test_that_was_refused_is_left_out_and_listed(self, thinking: Thinking, ignored: list[str]) -> None:
        settings = settings_of(thinking=thinking, without=("thinking",))
        assert (settings.body, settings.used, settings.ignored) == ({}, set(), ignored)


class TestJson:
    def test_object_is_asked_for_by_type(self) -> None:
        request = encoded(json_format=JsonFormat())
        assert json.loads(request.body)["generationConfig"] == {"responseMimeType": "application/json"}
        assert request.used == {"json_mode"}
        assert not request.json_in_words

    def test_schema_is_cleaned_and_sent(self) -> None:
        request = encoded(json_format=JsonFormat(SCHEMA))
        config = json.loads(request.body)["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        assert config["responseJsonSchema"]["properties"]["a"]["type"] == "string"
        assert "pattern" not in config["responseJsonSchema"]["properties"]["a"]
        assert request.used == {"json_mode", "json_schema"}

    def test_schema_of_anything_is_no_schema(self) -> None:
        assert config_of(json_format=JsonFormat({})) == {"responseMimeType": "application/json"}

    @pytest.mark.parametrize(
        ("schema", "sent"),
        [
            ({"$ref": "https://example.com/a.json"}, None),
            ({"$ref": "https://example.com/a.json", "description": "d"}, {"description": "d"}),
            ({"not": {"type": "string"}}, None),
        ],
    )
    def test_schema_of_which_nothing_is_left_but_words_is_listed(self, schema: Any, sent: Any) -> None:
        request = encoded(json_format=JsonFormat(schema))
        assert json.loads(request.body)["generationConfig"].get("responseJsonSchema") == sent
        assert request.ignored == ("response_format.json_schema.schema",)

    @pytest.mark.parametrize("schema", [{}, {"$schema": "x"}, {"title": "t", "description": "d"}, SCHEMA])
    def test_other_schemas_are_not_listed(self, schema: Any) -> None:
        assert encoded(json_format=JsonFormat(schema)).ignored == ()

    def test_refused_schema_is_told_in_words_within_json_mode(self) -> None:
        request = encoded(json_format=JsonFormat(SCHEMA), without=("json_schema",))
        assert json.loads(request.body)["generationConfig"] == {"responseMimeType": "application/json"}
        assert '"pattern":"x"' in instruction(request)
        assert request.ignored == ("response_format.json_schema",)

    @pytest.mark.parametrize(
        ("model", "fields"),
        [
            (FLASH_25, {"tools": (LOOK,)}),
            (FLASH_25, {"web_search": ("web_search_options",)}),
            ("gemini-2.5-flash-image", {}),
            ("gemini-3.1-flash-image", {}),
            ("gemini-3.1-flash-tts", {}),
            (GEMMA, {}),
        ],
    )
    def test_where_there_is_no_json_mode_words_ask_for_it(self, model: str, fields: dict[str, Any]) -> None:
        request = encoded(model, json_format=JsonFormat(SCHEMA), **fields)
        assert "generationConfig" not in json.loads(request.body)
        assert '"required":["a"]' in instruction(request)
        assert (request.ignored, request.json_in_words) == (("response_format",), True)

    def test_refused_json_mode_becomes_words(self) -> None:
        request = encoded(json_format=JsonFormat(), without=("json_mode",))
        assert "generationConfig" not in json.loads(request.body)
        assert "one JSON value" in instruction(request)
        assert "object" in instruction(request)
        assert request.json_in_words

    def test_words_beside_tools_leave_room_for_calls(self) -> None:
        request = encoded(FLASH_25, json_format=JsonFormat(), tools=(LOOK,))
        assert "instead of calling a function" in instruction(request)
        assert json.loads(request.body)["tools"][0]["functionDeclarations"][0]["name"] == "look"

    @pytest.mark.parametrize("model", [FLASH_3, "gemini-flash-latest", ARGON])
    @pytest.mark.parametrize("fields", [{"tools": (LOOK,)}, {"web_search": ("web_search_options",)}])
    def test_family_3_has_it_beside_tools(self, model: str, fields: dict[str, Any]) -> None:
        request = encoded(model, json_format=JsonFormat(SCHEMA), **fields)
        assert "responseJsonSchema" in json.loads(request.body)["generationConfig"]
        assert request.ignored == ()


class TestParallelCalls:
    def test_are_forbidden_in_words(self) -> None:
        assert "at most one function" in instruction(encoded(tools=(LOOK,), parallel_calls=False))

    def test_of_no_tools_need_no_words(self) -> None:
        assert instruction(encoded(parallel_calls=False)) == ""

    def test_several_calls_are_not_declined_where_none_is_allowed(self) -> None:
        none = encoded(tools=(LOOK,), parallel_calls=False, tool_choice=ToolChoice("none"))
        assert instruction(none) == ""
        demanded = encoded(tools=(LOOK,), parallel_calls=False, tool_choice=ToolChoice("required"))
        assert "at most one function" in instruction(demanded)

    def test_are_allowed_by_default(self) -> None:
        assert instruction(encoded(tools=(LOOK,))) == ""


class TestSafety:
    HARASSMENT = ("HARM_CATEGORY_HARASSMENT", "BLOCK_NONE")

    @staticmethod
    def levels(settings: Settings) -> dict[str, str]:
        return {each["category"]: each["threshold"] for each in settings.body["safetySettings"]}

    def test_of_the_configuration(self) -> None:
        assert self.levels(settings_of(safety=(self.HARASSMENT,))) == dict([self.HARASSMENT])

    def test_clients_own_counts_more_category_by_category(self) -> None:
        own = {"google": {"safety_settings": [{"category": self.HARASSMENT[0], "threshold": "BLOCK_ONLY_HIGH"}]}}
        settings = settings_of(safety=(self.HARASSMENT, (CIVIC, "BLOCK_NONE")), provider_options=own)
        assert self.levels(settings) == {self.HARASSMENT[0]: "BLOCK_ONLY_HIGH", CIVIC: "BLOCK_NONE"}

    def test_a_category_that_stands_twice_is_sent_once(self) -> None:
        entries = [{"category": CIVIC, "threshold": level} for level in ("BLOCK_ONLY_HIGH", "BLOCK_NONE")]
        settings = settings_of(provider_options={"google": {"safety_settings": entries}})
        assert settings.body["safetySettings"] == [{"category": CIVIC, "threshold": "BLOCK_NONE"}]

    def test_off_of_civic_integrity_is_sent_in_the_word_that_is_taken(self) -> None:
        assert self.levels(settings_of(safety=((CIVIC, "OFF"),))) == {CIVIC: "BLOCK_NONE"}

    def test_off_of_the_others_stays(self) -> None:
        off = (self.HARASSMENT[0], "OFF")
        assert self.levels(settings_of(safety=(off,))) == dict([off])


def test_cached_content_is_passed_on() -> None:
    settings = settings_of(provider_options={"google": {"cached_content": "cachedContents/x"}})
    assert settings.body == {"cachedContent": "cachedContents/x"}


# Everything that can be asked for at once. What a model refuses must be found out from its words, and be done without.

EVERYTHING: dict[str, Any] = {
    "sampling": Sampling(0.5, 0.5, 5, 0.5, 0.5, 100, ("a",), 7, 3, 2),
    "thinking": Thinking("medium"),
    "json_format": JsonFormat(SCHEMA),
    "provider_options": {"google": {"safety_settings": [{"category": CIVIC, "threshold": "OFF"}]}},
    "parallel_calls": False,
}


TOOLS: dict[str, dict[str, Any]] = {
    "alone": {},
    "search": {"web_search": ("web_search_options",)},
    "functions": {"tools": (LOOK,)},
}
# Gemma has no functions, and there is nothing to do without when a client's tools are what it asks for.
CASES = [(model, tools) for model in KNOWN_MODELS for tools in TOOLS if (model, tools) != (GEMMA, "functions")]


def refused_by(model: str, request: EncodedRequest, rules: Rules) -> str | None:
    """The setting that the fake refuses, as its words are understood; None when it takes the request."""
    try:
        validate(model, request.body, rules)
    except Refusal as refusal:
        return refused_setting(UpstreamRefusal(refusal.message, status=refusal.http_status)) or str(refusal)
    return None


@pytest.mark.parametrize("refuse_sampling", [False, True], ids=["sampling taken", "sampling refused"])
@pytest.mark.parametrize(("model", "tools"), CASES)
def test_each_model_takes_in_the_end_whatever_is_asked(model: str, tools: str, refuse_sampling: bool) -> None:
    messages = (Message("system", (TextPart("Be brief."),)), *HELLO)
    chat = ChatRequest("m", messages, **EVERYTHING, **TOOLS[tools])
    without: frozenset[str] = frozenset()
    request = encode_request(chat, model=model)
    while refused := refused_by(model, request, Rules(refuse_sampling=refuse_sampling)):
        assert refused in request.used
        without |= {refused}
        assert len(without) <= 6  # as many repairs as one request may have
        request = encode_request(chat, model=model, without=without)
        assert refused not in request.used

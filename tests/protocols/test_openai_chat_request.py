"""Chat Completions requests: every field of OpenAI's and Google's, and that nothing but a request or a 400 comes."""

import pytest

from agproxy.chat import ChatRequest, JsonFormat, Message, Sampling, TextPart, Thinking, Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.protocols.openai_chat_request import decode_request
from tests.chat_bodies import Json

USER = {"role": "user", "content": "Hello"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(*messages: Json, **others: Json) -> ChatRequest:
    return decode_request({"model": "gpt-4o", "messages": list(messages or [USER]), **others})


def refusal(body: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    return caught.value


# What every request says.


def test_least_request() -> None:
    assert request() == ChatRequest("gpt-4o", (Message("user", (TextPart("Hello"),)),))


def test_model_is_kept_as_it_was_asked_for() -> None:
    assert decode_request({"model": "models/Any:Thing@1", "messages": [USER]}).model == "models/Any:Thing@1"


def test_streaming_and_its_usage_are_asked_for() -> None:
    chat = request(stream=True, stream_options={"include_usage": True})
    assert (chat.stream, chat.include_usage) == (True, True)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": None}, {"include_usage": False}])
def test_usage_of_a_stream_is_not_asked_for(options: Json) -> None:
    chat = request(stream=None, stream_options=options)
    assert (chat.stream, chat.include_usage) == (False, False)


def test_conversation_is_told_apart_by_its_cache_key() -> None:
    assert request(prompt_cache_key="abc").session == "abc"
    assert request(prompt_cache_key="").session is None
    assert request().session is None


# Tools, old and new.


def test_parallel_calls_are_allowed_unless_the_client_says_otherwise() -> None:
    assert request(tools=[LOOK]).parallel_calls
    assert request(tools=[LOOK], parallel_tool_calls=True).parallel_calls
    chat = request(tools=[LOOK], parallel_tool_calls=False)
    assert (chat.parallel_calls, chat.ignored) == (False, ())


def test_functions_are_served_to_a_client_that_knows_no_tools() -> None:
    chat = request(functions=[{"name": "now"}, {"name": "look"}], function_call={"name": "now"})
    assert chat.tools == (Tool("now", ""), Tool("look", ""))
    assert chat.tool_choice == ToolChoice("required", ("now",))
    assert (chat.older_calls, chat.parallel_calls, chat.ignored) == (True, False, ())


def test_functions_beside_tools_are_listed() -> None:
    chat = request(tools=[LOOK], functions=[{"name": "now"}], function_call={"name": "now"})
    assert [tool.name for tool in chat.tools] == ["look"]
    assert (chat.older_calls, chat.tool_choice) == (False, ToolChoice())
    assert chat.ignored == ("functions", "function_call")


def test_tool_choice_beside_functions_is_listed() -> None:
    chat = request(functions=[{"name": "now"}], tool_choice="required")
    assert (chat.tool_choice, chat.ignored) == (ToolChoice(), ("tool_choice",))
    assert request(functions=[{"name": "now"}], tool_choice="auto").ignored == ()


def test_search_by_a_tool_leaves_functions_served() -> None:
    chat = request(tools=[{"type": "web_search"}], functions=[{"name": "now"}])
    assert (chat.web_search, chat.older_calls, chat.tools) == (("tools[0]",), True, (Tool("now", ""),))


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ({}, ()),
        ({"web_search_options": None}, ()),
        ({"web_search_options": {}}, ("web_search_options",)),
        ({"tools": [LOOK, {"type": "web_search"}]}, ("tools[1]",)),
        ({"tools": [{"googleSearch": {}}], "web_search_options": {}}, ("web_search_options", "tools[0]")),
    ],
)
def test_search_of_the_web_is_asked_for_by_fields(sent: Json, names: tuple[str, ...]) -> None:
    chat = request(**sent)
    assert (chat.web_search, chat.ignored) == (names, ())


# Sampling.


def test_sampling() -> None:
    chat = request(
        temperature=0,
        top_p=0.5,
        top_k=40,
        presence_penalty=-2,
        frequency_penalty=1.5,
        max_tokens=100,
        stop=["a", "b"],
        seed=7,
        n=3,
        logprobs=True,
        top_logprobs=5,
    )
    assert chat.sampling == Sampling(
        temperature=0,
        top_p=0.5,
        top_k=40,
        presence_penalty=-2,
        frequency_penalty=1.5,
        max_output_tokens=100,
        stop=("a", "b"),
        seed=7,
        choices=3,
        top_logprobs=5,
    )
    assert chat.ignored == ()


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty", "top_k"])
@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_zero_that_asks_for_nothing_is_left_to_the_model(name: str, zero: float) -> None:
    assert request(**{name: zero}) == request()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({}, None),
        ({"logprobs": False}, None),
        ({"logprobs": None, "top_logprobs": 0}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": None}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20),
    ],
)
def test_alternatives_of_a_token_are_told_as_asked(sent: Json, told: int | None) -> None:
    chat = request(**sent)
    assert (chat.sampling.top_logprobs, chat.ignored) == (told, ())


@pytest.mark.parametrize("sent", [{}, {"logprobs": False}, {"logprobs": None}])
def test_alternatives_without_logprobs_are_listed(sent: Json) -> None:
    chat = request(top_logprobs=5, **sent)
    assert (chat.sampling.top_logprobs, chat.ignored) == (None, ("top_logprobs",))


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_newer_token_limit_counts_before_the_older(sent: Json, limit: int) -> None:
    assert request(**sent).sampling.max_output_tokens == limit


@pytest.mark.parametrize(
    ("sent", "stop"),
    [
        (None, ()),
        ("END", ("END",)),
        ("", ()),
        ([], ()),
        (["a", "", "b"], ("a", "b")),
        (["1", "2", "3", "4", "5"], ("1", "2", "3", "4", "5")),
    ],
)
def test_stop(sent: Json, stop: tuple[str, ...]) -> None:
    assert request(stop=sent).sampling.stop == stop


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 5.0])
def test_any_seed_of_openai_is_folded_into_one_of_gemini(seed: float) -> None:
    folded = request(seed=seed).sampling.seed
    assert folded is not None
    assert 0 <= folded < 2**31
    assert folded == request(seed=seed).sampling.seed
    if 0 <= seed < 2**31:
        assert folded == seed


# The answer's format.


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonFormat()),
        ({"type": "json_object", "schema": SCHEMA}, JsonFormat(SCHEMA)),
        ({"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}, JsonFormat(SCHEMA)),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": None}}, JsonFormat()),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, JsonFormat()),
        ({"type": "json_schema", "name": "a", "schema": SCHEMA}, JsonFormat(SCHEMA)),
    ],
)
def test_response_format(sent: Json, expected: JsonFormat | None) -> None:
    chat = request(response_format=sent)
    assert (chat.json_format, chat.ignored) == (expected, ())


# Thinking, and Google's own fields.


@pytest.mark.parametrize(
    ("sent", "effort"),
    [
        *((word, word) for word in ("none", "minimal", "low", "medium", "high")),
        *((word, "high") for word in ("xhigh", "max")),
        *((word, None) for word in ("auto", "default", None)),
    ],
)
def test_reasoning_effort(sent: str | None, effort: Json) -> None:
    chat = request(reasoning_effort=sent)
    assert (chat.thinking, chat.ignored) == (Thinking(effort), ())


THINKING: list[tuple[Json, Thinking]] = [
    ({}, Thinking()),
    ({"thinking_level": None, "thinking_budget": None, "include_thoughts": None, "x": None}, Thinking()),
    ({"thinking_level": "low"}, Thinking("low")),
    ({"thinkingLevel": "HIGH", "includeThoughts": True}, Thinking("high", show=True)),
    ({"thinking_level": "XHIGH"}, Thinking("high")),
    ({"thinking_budget": 0}, Thinking(budget_tokens=0)),
    ({"thinkingBudget": -1, "include_thoughts": False}, Thinking(budget_tokens=-1, show=False)),
    ({"include_thoughts": True}, Thinking(show=True)),
]


@pytest.mark.parametrize(("config", "thinking"), THINKING)
@pytest.mark.parametrize("name", ["thinking_config", "thinkingConfig"])
def test_thinking_config(name: str, config: Json, thinking: Thinking) -> None:
    chat = request(extra_body={"google": {name: config}})
    assert (chat.thinking, chat.provider_options, chat.ignored) == (thinking, None, ())


@pytest.mark.parametrize("config", [{"thinking_level": "low"}, {"thinking_budget": 100}])
def test_googles_own_words_count_more_than_reasoning_effort(config: Json) -> None:
    google = {"thinking_config": config}
    chat = request(google=google, reasoning_effort="high")
    assert chat.thinking == request(google=google).thinking
    assert chat.ignored == ("reasoning_effort",)


def test_reasoning_effort_goes_with_thoughts_that_are_shown() -> None:
    chat = request(google={"thinking_config": {"include_thoughts": False}}, reasoning_effort="high")
    assert (chat.thinking, chat.ignored) == (Thinking("high", show=False), ())


GOOGLE: Json = {
    "cached_content": "cachedContents/a",
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
}


@pytest.mark.parametrize(
    "sent",
    [
        {"google": GOOGLE},
        {"extra_body": {"google": GOOGLE}},
        {"extra_body": {"google": None, "other": None}, "google": GOOGLE},
        {"google": {"cachedContent": GOOGLE["cached_content"], "safetySettings": GOOGLE["safety_settings"]}},
    ],
)
def test_googles_options_are_kept_for_google(sent: Json) -> None:
    chat = request(**sent)
    assert (chat.provider_options, chat.ignored) == ({"google": GOOGLE}, ())


@pytest.mark.parametrize(
    "sent",
    [
        {"extra_body": None},
        {"extra_body": {}},
        {"google": None},
        {"google": {}},
        {"google": {"cached_content": None, "thinking_config": None, "safety_settings": None, "x": None}},
    ],
)
def test_google_is_told_nothing_of_its_own(sent: Json) -> None:
    assert request(**sent) == request()


@pytest.mark.parametrize(
    ("sent", "listed"),
    [
        ({"extra_body": {"x": 0, "y": None}}, ["extra_body.x"]),
        ({"extra_body": {"google": {"media_resolution": "LOW"}}}, ["extra_body.google.media_resolution"]),
        ({"google": {"speech_config": {}}}, ["google.speech_config"]),
        (
            {"google": {"safety_settings": [{**GOOGLE["safety_settings"][0], "method": "SEVERITY"}]}},
            ["google.safety_settings[].method"],
        ),
        ({"google": {"thinking_config": {"a": 1}}}, ["google.thinking_config.a"]),
        ({"google": {"thinkingConfig": {"a": 1, "b": None}}}, ["google.thinkingConfig.a"]),
        ({"google": {}, "extra_body": {"google": {}}}, ["google"]),
    ],
)
def test_options_of_google_that_are_not_honoured_are_listed(sent: Json, listed: list[str]) -> None:
    assert request(**sent).ignored == tuple(listed)


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


_SAFETY = "extra_body.google.safety_settings[0]"


def google(**values: Json) -> Json:
    return {"extra_body": {"google": values}}


BAD_FIELDS: list[tuple[Json, str]] = [
    *(({"temperature": value}, "temperature") for value in each(9, -0.1, 2.001, "1", True, [], 10**400)),
    *(({"top_p": value}, "top_p") for value in each(1.5, -1, "1", False, {})),
    *(({"top_k": value}, "top_k") for value in each(-1, 2**31, 1.5, "9", True, [])),
    *(
        ({name: value}, name)
        for name in ("presence_penalty", "frequency_penalty")
        for value in each(-2.1, 2.1, "0", True, [], 10**400)
    ),
    *(({"n": value}, "n") for value in each(0, -1, 9, 128, 1.5, "2", True, [])),
    *(({"logprobs": value}, "logprobs") for value in each(0, 5, "true", [], {})),
    *(({"logprobs": True, "top_logprobs": value}, "top_logprobs") for value in each(-1, 21, 1.5, "5", True)),
    ({"top_logprobs": 21}, "top_logprobs"),
    *(({"max_tokens": value}, "max_tokens") for value in each(-1, 0, 2**31, 1.5, "9", True, [], 10**400, 1e300)),
    *(({"max_completion_tokens": value}, "max_completion_tokens") for value in each(-1, 0, 2**31, 1.5, "9", True)),
    ({"max_completion_tokens": 5, "max_tokens": -1}, "max_tokens"),
    *(({"seed": value}, "seed") for value in each(2**63, -(2**63) - 1, 1.5, "7", True, [])),
    *(({"stop": value}, "stop") for value in each(5, True, {}, [5], ["a", None], [["a"]], list("abcdef"))),
    *(({"stream": value}, "stream") for value in each("true", 1, 0, [], {})),
    *(({"stream_options": value}, "stream_options") for value in each("x", 5, [], [1], "", 0, False, True)),
    *(({"stream_options": {"include_usage": value}}, "stream_options.include_usage") for value in each("true", 1, {})),
    *(({"prompt_cache_key": value}, "prompt_cache_key") for value in each(5, [], {}, True)),
    *(({"parallel_tool_calls": value}, "parallel_tool_calls") for value in each("false", 0, [])),
    ({"parallel_tool_calls": "x", "functions": [{"name": "a"}]}, "parallel_tool_calls"),
    *(({"tools": value}, "tools") for value in each(5, "x", {}, True)),
    ({"tools": [LOOK], "tool_choice": "must"}, "tool_choice"),
    *(({"functions": value}, "functions") for value in each(5, "x", {"name": "a"}, True)),
    ({"functions": [{}]}, "functions[0].name"),
    *(
        ({"functions": [{"name": "a"}], "function_call": value}, "function_call")
        for value in each("must", {"name": "b"}, {"name": 5}, {}, 5, [])
    ),
    *(({"web_search_options": value}, "web_search_options") for value in each(True, "x", [], 5)),
    *(({"response_format": value}, "response_format") for value in each("json", [], 5, True)),
    *(
        ({"response_format": {"type": value}}, "response_format.type")
        for value in each(None, "json", "xml", "grammar", 5, ["text"], {})
    ),
    ({"response_format": {}}, "response_format.type"),
    *(
        ({"response_format": {"type": "json_schema", **value}}, "response_format.json_schema")
        for value in each({}, {"json_schema": None}, {"json_schema": "x"}, {"json_schema": [], "schema": {}})
    ),
    *(
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": value}}},
            "response_format.json_schema.schema",
        )
        for value in each("x", [], True, 5)
    ),
    *(
        ({"response_format": {"type": "json_object", "schema": value}}, "response_format.schema")
        for value in each("x", 5)
    ),
    *(({"reasoning_effort": value}, "reasoning_effort") for value in each("", "High", "lots", "x" * 999, 5, True, [])),
    *(({"extra_body": value}, "extra_body") for value in each("x", [], 5, True)),
    *(({"extra_body": {"google": value}}, "extra_body.google") for value in each("x", [], 5, False)),
    *(({"google": value}, "google") for value in each("x", [], 5, False)),
    *((google(thinking_config=value), "extra_body.google.thinking_config") for value in each("low", [], 5)),
    *(
        (google(thinking_config={"thinking_level": value}), "extra_body.google.thinking_config.thinking_level")
        for value in each("", "lots", "auto", 5, [], True)
    ),
    *(
        (google(thinkingConfig={"thinkingBudget": value}), "extra_body.google.thinkingConfig.thinking_budget")
        for value in each(-2, 2**31, 1.5, "9", True)
    ),
    (
        google(thinking_config={"thinking_level": "low", "thinking_budget": 5}),
        "extra_body.google.thinking_config.thinking_budget",
    ),
    (
        google(thinking_config={"include_thoughts": "yes"}),
        "extra_body.google.thinking_config.include_thoughts",
    ),
    *((google(cached_content=value), "extra_body.google.cached_content") for value in each(5, [], {}, True)),
    *((google(safety_settings=value), "extra_body.google.safety_settings") for value in each("OFF", {}, 5)),
    *((google(safetySettings=[value]), "extra_body.google.safetySettings[0]") for value in each("OFF", None, [])),
    *(
        (google(safety_settings=[{"threshold": "OFF", **value}]), f"{_SAFETY}.category")
        # Google's refusal would quote a wrong word, and so say whatever the client likes.
        for value in each({}, {"category": None}, {"category": 5}, {"category": "API key not valid"})
    ),
    *(
        (google(safety_settings=[{**GOOGLE["safety_settings"][0], **value}]), f"{_SAFETY}.threshold")
        for value in each({"threshold": None}, {"threshold": "renew the api key"})
    ),
    (google(cached_content="API key not valid"), "extra_body.google.cached_content"),
]
BAD_BODIES: list[tuple[Json, str]] = [
    ({"messages": [USER]}, "model"),
    *(({"model": value, "messages": [USER]}, "model") for value in each(None, 5, True, ["gpt-4o"], {})),
    ({"model": "gpt-4o"}, "messages"),
    ({"model": "gpt-4o", "messages": [{"role": "user"}]}, "messages[0].content"),
    *(({"model": "gpt-4o", "messages": [USER], **options}, param) for options, param in BAD_FIELDS),
]


@pytest.mark.parametrize(
    ("body", "param"), BAD_BODIES, ids=[f"{position}-{param}" for position, (_, param) in enumerate(BAD_BODIES)]
)
def test_bad_body_is_refused_by_the_name_of_its_field(body: Json, param: str) -> None:
    error = refusal(body)
    assert error.status == 400
    assert error.param == param
    assert param.rpartition(".")[2] in error.message
    assert len(error.message) < 400

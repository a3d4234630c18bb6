"""Completions requests: every field of OpenAI's, and that nothing but a request or a 400 comes."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from agproxy.chat import ChatRequest, JsonFormat, Message, Sampling, TextPart, Thinking
from agproxy.errors import BadRequest
from agproxy.protocols import openai_chat_request
from agproxy.protocols.openai_completions_request import Asked, decode_request
from tests.chat_bodies import JSON, WORDS, Json, changed, paths

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LEAST = Thinking("none", show=False, is_asked=False)
SAFETY = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]


def request(prompt: Json = "Once", **others: Json) -> ChatRequest:
    return decode_request({"model": "gpt-3.5-turbo-instruct", "prompt": prompt, **others})


def refusal(body: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    return caught.value


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", (TextPart(text),)),)


def texts(chat: ChatRequest) -> list[str]:
    """What the user says in each conversation."""
    conversations = (chat.messages, *chat.further_messages)
    return ["".join(part.text for part in each[-1].parts if isinstance(part, TextPart)) for each in conversations]


def full_body() -> Json:
    """One that holds every field that is served."""
    return {
        "model": "gpt-3.5-turbo-instruct",
        "prompt": ["Once", "upon"],
        "suffix": "time.",
        "echo": True,
        "n": 2,
        "best_of": 3,
        "logprobs": 5,
        "max_tokens": 20,
        "max_completion_tokens": 30,
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "stop": ["END", "\n\n"],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "prompt_cache_key": "abc",
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        "extra_body": {"google": {"thinking_config": {"include_thoughts": True}, "safety_settings": SAFETY}},
        "logit_bias": {"50256": -100},
        "user": "me",
    }


# Prompts.


def test_least_request() -> None:
    assert request() == ChatRequest("gpt-3.5-turbo-instruct", user("Once"), thinking=LEAST, echo=Asked())


def test_model_thinks_little_unless_something_is_said_of_it() -> None:
    assert request(temperature=1).thinking == LEAST
    assert request(reasoning_effort="high").thinking == Thinking("high")
    google = {"google": {"thinking_config": {"include_thoughts": True}}}
    assert request(extra_body=google).thinking == Thinking(show=True)


def test_nothing_is_said_to_the_model_but_the_prompt() -> None:
    chat = request(" \n def f():\n\t", temperature=1, n=2, stream=True)
    assert (chat.messages, chat.further_messages) == (user(" \n def f():\n\t"), ())


def test_one_prompt_in_an_array_is_that_prompt() -> None:
    assert request(["Once"]) == request("Once")


def test_each_prompt_is_a_conversation_of_its_own() -> None:
    chat = request(["a", "b", "a"], n=2)
    assert (chat.messages, chat.further_messages) == (user("a"), (user("b"), user("a")))
    assert (chat.sampling.choices, chat.echo) == (2, Asked(2))


@pytest.mark.parametrize("prompt", ["a", ["a"]])
def test_prompts_are_kept_for_the_answer_when_it_is_to_begin_with_them(prompt: Json) -> None:
    assert request(prompt, echo=True).echo == Asked(1, ("a",))
    assert request(prompt, echo=False) == request(prompt)


def test_answers_stand_behind_their_prompts() -> None:
    asked = request(["a", "b", "c"], n=2, echo=True).echo
    assert isinstance(asked, Asked)
    assert [asked.before(index) for index in range(6)] == ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize(("prompts", "n"), [(128, 1), (128, None), (64, 2), (16, 8), (1, 8)])
def test_as_many_answers_as_are_allowed(prompts: int, n: int | None) -> None:
    chat = request(["a"] * prompts, n=n)
    assert (1 + len(chat.further_messages)) * chat.sampling.choices == prompts * (n or 1)


@pytest.mark.parametrize(("prompts", "n"), [(129, 1), (65, 2), (17, 8)])
def test_more_answers_are_refused(prompts: int, n: int) -> None:
    error = refusal({"model": "m", "prompt": ["a"] * prompts, "n": n})
    assert error.param == "prompt"
    assert f"{prompts} texts" in error.message
    assert "at most 128 answers" in error.message


@pytest.mark.parametrize("prompt", [[5], [[5, 6]], [[5], [6]], [[]], ["a", 5], ["a", [5]], [10**400]], ids=repr)
def test_tokens_are_refused_and_text_asked_for(prompt: Json) -> None:
    error = refusal({"model": "m", "prompt": prompt})
    assert (error.param, error.code) == ("prompt", "invalid_type")
    assert "send the text" in error.message


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"suffix": "x"}, {"messages": None}])
def test_prompt_is_required(body: Json) -> None:
    error = refusal({"model": "m", **body})
    assert (error.param, error.code) == ("prompt", "missing_required_parameter")


def test_body_of_chat_completions_is_told_where_it_belongs() -> None:
    error = refusal({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    assert error.param == "messages"
    assert "/v1/chat/completions" in error.message


def test_messages_beside_a_prompt_are_listed() -> None:
    chat = request(messages=[{"role": "user", "content": "Hi"}])
    assert (chat.messages, chat.ignored) == (user("Once"), ("messages",))


# The gap before a suffix.


def test_gap_before_a_suffix_is_marked_and_explained() -> None:
    chat = request("def f(x):\n    return ", suffix="\n\nprint(f(1))")
    system, question = chat.messages
    assert question == user("def f(x):\n    return <<GAP>>\n\nprint(f(1))")[0]
    (part,) = system.parts
    assert system.role == "system"
    assert isinstance(part, TextPart)
    assert "marked <<GAP>>" in part.text
    assert "nothing else" in part.text
    assert chat.ignored == ()


def test_each_prompt_has_the_same_suffix() -> None:
    chat = request(["a", "", "b"], suffix="z", echo=True)
    assert texts(chat) == ["a<<GAP>>z", "<<GAP>>z", "b<<GAP>>z"]
    assert {each[0].role for each in (chat.messages, *chat.further_messages)} == {"system"}
    assert chat.echo == Asked(1, ("a", "", "b"))


@pytest.mark.parametrize("taken", [0, 1])
def test_mark_of_the_gap_is_not_in_the_text(taken: int) -> None:
    held = ["<<GAP>>", "<<GAP>> <<GAP1>>"][taken]
    gap = f"<<GAP{taken + 1}>>"
    for prompt, suffix in ((held, "z"), ("a", held)):
        chat = request(prompt, suffix=suffix)
        assert texts(chat) == [f"{prompt}{gap}{suffix}"]
        assert f"marked {gap}" in str(chat.messages[0].parts[0])


@pytest.mark.parametrize("suffix", ["", None])
def test_empty_suffix_asks_for_nothing(suffix: Json) -> None:
    assert request(suffix=suffix) == request()
    assert refusal({"model": "m", "prompt": "", "suffix": suffix}).param == "prompt"


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
        best_of=3,
        logprobs=5,
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


def test_limit_of_sixteen_tokens_is_not_taken_over() -> None:
    assert request().sampling.max_output_tokens is None


@pytest.mark.parametrize("logprobs", [0, 1, 5, 20, 5.0])
def test_alternatives_of_a_token_are_told_as_asked(logprobs: float) -> None:
    assert request(logprobs=logprobs).sampling.top_logprobs == logprobs


def test_log_probabilities_of_the_prompt_are_not_served() -> None:
    assert request(echo=True, logprobs=0).ignored == ("logprobs",)
    assert request(echo=False, logprobs=0).ignored == ()
    assert request(echo=True).ignored == ()


@pytest.mark.parametrize(
    ("sent", "listed"),
    [({"best_of": 1}, ()), ({"best_of": 2}, ("best_of",)), ({"best_of": 2, "n": 2}, ()), ({"best_of": None}, ())],
)
def test_best_of_more_than_are_given_is_listed(sent: Json, listed: tuple[str, ...]) -> None:
    chat = request(**sent)
    assert (chat.sampling.choices, chat.ignored) == (sent.get("n", 1), listed)


def test_best_of_less_than_are_given_is_refused() -> None:
    error = refusal({"model": "m", "prompt": "a", "n": 3, "best_of": 2})
    assert (error.param, error.message) == ("best_of", "best_of must not be less than n, which is 3, but is 2")


@pytest.mark.parametrize(
    "sent",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "description": "d", "x": 1}}},
        {"response_format": {"type": "json_object"}},
        {"reasoning_effort": "xhigh"},
        {"reasoning_effort": "low", "google": {"thinking_config": {"thinking_budget": 5}}},
        {"extra_body": {"google": {"cached_content": "cachedContents/a", "safety_settings": SAFETY, "y": 1}, "z": 1}},
        {"max_tokens": 5, "max_completion_tokens": 6},
        {"seed": -1, "stop": "END", "temperature": 2},
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": True}},
        {"prompt_cache_key": "abc"},
        {"user": "me", "metadata": {}, "store": False, "service_tier": "flex", "logit_bias": {"1": 1}, "min_p": 0.1},
    ],
    ids=lambda sent: "+".join(sent),
)
def test_fields_of_chat_completions_mean_the_same(sent: Json) -> None:
    message = {"role": "user", "content": "Once"}
    chat = openai_chat_request.decode_request({"model": "gpt-3.5-turbo-instruct", "messages": [message], **sent})
    told = request(**sent)
    assert told.thinking == (LEAST if chat.thinking == Thinking() else chat.thinking)
    for name in ("sampling", "json_format", "provider_options", "stream", "include_usage", "session"):
        assert getattr(told, name) == getattr(chat, name)
    assert sorted(told.ignored) == sorted(chat.ignored)
    assert told.messages == chat.messages


def test_full_body_is_served() -> None:
    chat = decode_request(full_body())
    assert texts(chat) == ["Once<<GAP>>time.", "upon<<GAP>>time."]
    assert chat.thinking == Thinking("low", show=True)
    assert chat.json_format == JsonFormat(SCHEMA)
    assert (chat.stream, chat.include_usage, chat.session) == (True, True, "abc")
    assert chat.ignored == ("logit_bias", "user", "max_tokens", "best_of", "logprobs")
    assert chat.echo == Asked(2, ("Once", "upon"))


def test_request_is_not_changed_by_decoding_it() -> None:
    body = full_body()
    decode_request(body)
    assert body == full_body()


# A plausible value of every field of the SDK, and whether it is listed. A new field fails the test below until it is
# decided what becomes of it.
SDK_FIELDS: dict[str, tuple[Json, bool]] = {
    "model": ("gpt-3.5-turbo-instruct", False),
    "prompt": (["a", "b"], False),
    "best_of": (2, True),
    "echo": (True, False),
    "frequency_penalty": (0.5, False),
    "logit_bias": ({"50256": -100}, True),
    "logprobs": (5, False),
    "max_tokens": (16, False),
    "n": (2, False),
    "presence_penalty": (0.5, False),
    "seed": (7, False),
    "stop": (["a", "b", "c", "d"], False),
    "stream": (True, False),
    "stream_options": ({"include_usage": True, "include_obfuscation": False}, False),
    "suffix": ("z", False),
    "temperature": (0.5, False),
    "top_p": (0.5, False),
    "user": ("me", True),
}
SDK_NAMES = sorted(
    {*CompletionCreateParamsNonStreaming.__annotations__, *CompletionCreateParamsStreaming.__annotations__}
)
OPTIONAL = [name for name in SDK_NAMES if name not in ("model", "prompt")]


@pytest.mark.parametrize("name", SDK_NAMES)
def test_field_of_the_sdk_is_served_or_listed(name: str) -> None:
    assert name in SDK_FIELDS, "new in the SDK: decide whether it is served"
    value, listed = SDK_FIELDS[name]
    chat = decode_request({"model": "m", "prompt": "Once", name: value})
    assert chat.ignored == ((name,) if listed else ())
    assert name in full_body()  # so that it is changed at random below
    if name in OPTIONAL:
        assert chat != decode_request({"model": "m", "prompt": "Once"})


@pytest.mark.parametrize("name", [*OPTIONAL, "top_k", "max_completion_tokens", "extra_body", "messages", "whatever"])
def test_null_is_as_good_as_absent(name: str) -> None:
    assert request(**{name: None}) == request()


def test_defaults_spelled_out_are_not_listed() -> None:
    chat = request(
        n=1,
        best_of=1,
        echo=False,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        suffix="",
        stop=[],
        stream=False,
        stream_options={"include_obfuscation": False},
    )
    assert chat == request()


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


BAD_FIELDS: list[tuple[Json, str]] = [
    *(({"prompt": value}, "prompt") for value in each("", [], {}, 5, 1.5, True, False)),
    *(({"prompt": [value]}, "prompt[0]") for value in each("", None, {}, 1.5, True)),
    *(({"prompt": ["a", value]}, "prompt[1]") for value in each("", None, {}, 1.5, False)),
    *(({"prompt": ["", value], "suffix": "z"}, "prompt[1]") for value in each(None, {}, 1.5)),
    *(({"suffix": value}, "suffix") for value in each(5, [], ["a"], {}, True)),
    *(({"echo": value}, "echo") for value in each("true", 1, 0, [])),
    *(({"temperature": value}, "temperature") for value in each(9, -0.1, "1", True, [], 10**400)),
    *(({"top_p": value}, "top_p") for value in each(1.5, -1, "1", False, {})),
    *(({"presence_penalty": value}, "presence_penalty") for value in each(-2.1, "0", True)),
    *(({"frequency_penalty": value}, "frequency_penalty") for value in each(2.1, "0", [])),
    *(({"n": value}, "n") for value in each(0, -1, 9, 128, 1.5, "2", True, [])),
    *(({"best_of": value}, "best_of") for value in each(0, -1, 129, 1.5, "2", True, [])),
    *(({"logprobs": value}, "logprobs") for value in each(-1, 21, 1.5, "5", True, False, [])),
    *(({"max_tokens": value}, "max_tokens") for value in each(-1, 0, 2**31, 1.5, "9", True, [], 10**400)),
    *(({"seed": value}, "seed") for value in each(2**63, 1.5, "7", True, [])),
    *(({"stop": value}, "stop") for value in each(5, True, {}, [5], ["a", None], list("abcdef"))),
    *(({"stream": value}, "stream") for value in each("true", 1, [])),
    *(({"stream_options": value}, "stream_options") for value in each("x", 5, [], True)),
    ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    *(({"prompt_cache_key": value}, "prompt_cache_key") for value in each(5, [], {})),
    *(({"reasoning_effort": value}, "reasoning_effort") for value in each("", "lots", 5)),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"extra_body": "x"}, "extra_body"),
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
]


@pytest.mark.parametrize(
    ("fields", "param"), BAD_FIELDS, ids=[f"{place}-{param}" for place, (_, param) in enumerate(BAD_FIELDS)]
)
def test_bad_body_is_refused_by_the_name_of_its_field(fields: Json, param: str) -> None:
    error = refusal({"model": "m", "prompt": "Once", **fields})
    assert (error.status, error.param) == (400, param)
    assert param.rpartition(".")[2] in error.message
    assert len(error.message) < 300


# Whatever comes.


def decodes_or_refuses(body: Json) -> None:
    try:
        chat = decode_request(body)
    except BadRequest as error:
        refused = (error.status, bool(error.param), bool(error.message))
        assert refused == (400, True, True)
        assert len(error.message) < 1000  # noqa: PT017 - many inputs are served
    else:
        assert all(texts(chat))
        assert all(isinstance(name, str) for name in chat.ignored)


@given(st.dictionaries(WORDS | st.text() | st.sampled_from(SDK_NAMES), JSON, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_served_or_refused(body: Json) -> None:
    decodes_or_refuses(body)


@given(st.dictionaries(WORDS | st.text() | st.sampled_from(OPTIONAL), JSON, min_size=1, max_size=6), JSON)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_fields_are_served_or_refused(fields: Json, prompt: Json) -> None:
    decodes_or_refuses({**fields, "model": "m", "prompt": "Once"})
    decodes_or_refuses({**fields, "model": "m", "prompt": prompt})


PATHS = [path for path in paths(full_body()) if path]


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_served_or_refused(changes: Json) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    decodes_or_refuses(body)

"""Requests of Anthropic Messages: sampling, thinking, formats, the session, and what is refused or listed."""

import pytest

from agproxy.chat import ChatRequest, JsonFormat, Sampling, Thinking
from agproxy.errors import BadRequest
from agproxy.protocols.anthropic_request import Echo, decode_request
from tests.message_bodies import HELLO, Json, system

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
LAST = 2**31 - 1


def decoded(*messages: Json, **fields: Json) -> ChatRequest:
    return decode_request({"model": "claude-opus-5-5", "messages": [HELLO, *messages], **fields})


def sampling(**fields: Json) -> Sampling:
    """That of a request of which nothing is ignored."""
    chat = decoded(**fields)
    assert chat.ignored == ()
    return chat.sampling


def thinking(*messages: Json, **fields: Json) -> Thinking:
    """That of a request of which nothing is ignored."""
    chat = decoded(*messages, **fields)
    assert chat.ignored == ()
    return chat.thinking


def refused(*messages: Json, **fields: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decoded(*messages, **fields)
    assert caught.value.message
    return caught.value


# The request.


def test_least_request() -> None:
    chat = decode_request({"model": "claude-opus-5-5", "max_tokens": 4096, "messages": [HELLO]})
    assert (chat.model, chat.stream, chat.session, chat.ignored) == ("claude-opus-5-5", False, None, ())
    assert (chat.sampling, chat.thinking) == (Sampling(max_output_tokens=4096), Thinking())
    assert (chat.tools, chat.web_search, chat.json_format) == ((), (), None)


@pytest.mark.parametrize("model", [None, 5, ["m"], ...])
def test_model_is_a_string(model: Json) -> None:
    body = {"messages": [HELLO]} if model is ... else {"messages": [HELLO], "model": model}
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    assert caught.value.param == "model"


@pytest.mark.parametrize(("value", "stream"), [(True, True), (False, False), (None, False)])
def test_stream(value: Json, stream: bool) -> None:
    assert decoded(stream=value).stream is stream


def test_stream_is_a_boolean() -> None:
    assert refused(stream="yes").param == "stream"


def test_tokens_of_the_request_are_told_first_and_an_empty_answer_is_one() -> None:
    chat = decoded()
    assert (chat.count_first, chat.may_be_cut_empty) == (True, True)


# Threads, of which the SDK's tool runner goes without once it is told.


@pytest.mark.parametrize(
    "thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}, {}, "x", False]
)
def test_thread_is_refused_by_the_code_that_the_sdk_knows(thread: Json) -> None:
    error = refused(thread=thread)
    assert (error.status, error.param, error.code) == (400, "thread", "thread_unsupported_request")


def test_no_thread_is_none() -> None:
    assert decoded(thread=None).ignored == ()


# Sampling.


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Sampling()),
        ({"max_tokens": 1}, Sampling(max_output_tokens=1)),
        ({"max_tokens": 128000.0}, Sampling(max_output_tokens=128000)),
        ({"max_tokens": 0}, Sampling()),
        ({"max_tokens": None}, Sampling()),
        ({"temperature": 0}, Sampling(temperature=0)),
        ({"temperature": 1.5, "top_p": 0.9, "top_k": 40}, Sampling(temperature=1.5, top_p=0.9, top_k=40)),
        ({"temperature": None, "top_p": None, "top_k": None}, Sampling()),
        ({"top_k": 0}, Sampling()),
        ({"stop_sequences": ["END", "\n\n"]}, Sampling(stop=("END", "\n\n"))),
        ({"stop_sequences": ["", "END"]}, Sampling(stop=("END",))),
        ({"stop_sequences": None}, Sampling()),
        ({"stop_sequences": ["1", "2", "3", "4", "5", ""]}, Sampling(stop=("1", "2", "3", "4", "5"))),
    ],
)
def test_sampling(fields: Json, expected: Sampling) -> None:
    assert sampling(**fields) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_tokens", value) for value in (-1, 1.5, "9", True, LAST + 1, [9])),
        *(("temperature", value) for value in (-0.1, 2.1, "1", True, [1])),
        *(("top_p", value) for value in (-0.1, 1.1, "1", False)),
        *(("top_k", value) for value in (-1, 1.5, "1", True, LAST + 1)),
        *(("stop_sequences", value) for value in ("END", {"a": 1}, [5], [None], [["END"]])),
    ],
)
def test_other_sampling_is_refused(name: str, value: Json) -> None:
    assert refused(**{name: value}).param == name


def test_more_stop_sequences_than_gemini_takes_are_refused() -> None:
    error = refused(stop_sequences=["1", "2", "3", "4", "5", "6"])
    assert error.param == "stop_sequences"
    assert "5" in error.message


# Thinking.


def test_thinking_is_left_to_the_model_unless_it_is_spoken_of() -> None:
    assert thinking() == thinking(thinking=None) == thinking(max_tokens=2048) == Thinking()


@pytest.mark.parametrize("limit", [1, 9, 1024, 2047])
def test_few_tokens_are_not_used_up_by_thinking(limit: int) -> None:
    assert thinking(max_tokens=limit) == Thinking("none", show=False, is_asked=False)


def test_few_tokens_leave_what_was_asked_for() -> None:
    assert thinking(max_tokens=9, thinking={"type": "adaptive"}) == Thinking(None, show=True)
    assert thinking(max_tokens=9, output_config={"effort": "low"}) == Thinking("low", show=False)
    assert thinking(max_tokens=9, thinking={"type": "disabled"}) == Thinking("none", show=False, field="thinking")


@pytest.mark.parametrize("kind", ["adaptive", "between_tools"])
@pytest.mark.parametrize(
    ("display", "show"),
    [(None, True), (..., True), ("summarized", True), ("updates", True), ("omitted", False)],
)
def test_thinking_as_the_model_likes(kind: str, display: Json, show: bool) -> None:
    value = {"type": kind} if display is ... else {"type": kind, "display": display}
    assert thinking(thinking=value) == Thinking(None, show=show)
    assert thinking(thinking=value, output_config={"effort": "high"}) == Thinking("high", show=show)


@pytest.mark.parametrize(("display", "show"), [(None, True), ("omitted", False)])
def test_thinking_with_a_budget(display: Json, show: bool) -> None:
    value = {"type": "enabled", "budget_tokens": 31999, "display": display}
    assert thinking(thinking=value) == Thinking(budget_tokens=31999, show=show)


@pytest.mark.parametrize(
    ("limit", "budget", "total"),
    [(32000, 31999, 63999), (1, 1024, 1025), (None, 1024, None), (LAST, 1024, LAST), (0, 1024, 1024)],
)
def test_budget_comes_on_top_of_the_limit(limit: Json, budget: int, total: Json) -> None:
    value = {"type": "enabled", "budget_tokens": budget}
    assert decoded(max_tokens=limit, thinking=value).sampling.max_output_tokens == total


@pytest.mark.parametrize("value", [{"type": "adaptive"}, {"type": "disabled"}, None])
def test_limit_is_as_it_was_without_a_budget(value: Json) -> None:
    assert decoded(max_tokens=4096, thinking=value).sampling.max_output_tokens == 4096


def test_no_thinking() -> None:
    assert thinking(thinking={"type": "disabled"}) == Thinking("none", show=False, field="thinking")


@pytest.mark.parametrize("value", [{"type": "disabled"}, {"type": "enabled", "budget_tokens": 1024}])
def test_effort_that_the_kind_of_thinking_overrules_is_listed(value: Json) -> None:
    assert decoded(thinking=value, output_config={"effort": "high"}).ignored == ("output_config.effort",)


@pytest.mark.parametrize(
    ("value", "thinks"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "adaptive"}, True),
        ({"type": "between_tools"}, True),
        ({"type": "enabled", "budget_tokens": 1024, "display": "omitted"}, True),
    ],
)
def test_thinking_blocks_are_for_those_who_asked_for_thinking(value: Json, thinks: bool) -> None:
    assert decoded(thinking=value).echo == Echo(thinks=thinks)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("enabled", "thinking"),
        (5, "thinking"),
        (False, "thinking"),
        ([], "thinking"),
        ({"type": "enabled"}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": None}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": "1024"}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": -1}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": LAST + 1}, "thinking.budget_tokens"),
        ({"type": "on"}, "thinking.type"),
        ({"type": 5}, "thinking.type"),
        ({"type": ["enabled"]}, "thinking.type"),
    ],
)
def test_other_thinking_is_refused(value: Json, param: str) -> None:
    assert refused(thinking=value).param == param


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ({"type": "adaptive", "budget_tokens": 1024}, "thinking.budget_tokens"),
        ({"type": "between_tools", "budget_tokens": 1024}, "thinking.budget_tokens"),
        ({"type": "disabled", "budget_tokens": 1024}, "thinking.budget_tokens"),
        ({"type": "adaptive", "block_binding": {"x": 1}}, "thinking.block_binding"),
        ({"type": "enabled", "budget_tokens": 1024, "depth": 5}, "thinking.depth"),
        ({"type": "disabled", "depth": 5}, "thinking.depth"),
    ],
)
def test_what_is_not_read_of_thinking_is_listed(value: Json, listed: str) -> None:
    assert decoded(thinking=value).ignored == (listed,)
    assert decoded(thinking={**value, listed.removeprefix("thinking."): None}).ignored == ()


@pytest.mark.parametrize("display", [5, ["omitted"], {}, True])
def test_display_of_thoughts_is_a_string(display: Json) -> None:
    for value in ({"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}):
        assert refused(thinking={**value, "display": display}).param == "thinking.display"


@pytest.mark.parametrize("value", [{}, {"type": None}])
def test_thinking_without_type_is_not_taken_for_a_wish(value: Json) -> None:
    try:
        chat = decoded(thinking=value)
    except BadRequest as error:
        assert error.param == "thinking.type"  # noqa: PT017
    else:
        assert (chat.thinking, chat.echo) == (Thinking(), Echo(thinks=False))


@pytest.mark.parametrize(
    ("effort", "known"),
    [("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "high"), ("max", "high"), (None, None)],
)
def test_effort(effort: Json, known: Json) -> None:
    assert thinking(output_config={"effort": effort}) == Thinking(known, show=None if known is None else False)


@pytest.mark.parametrize("effort", ["", "huge", "none", "LOW", 5, ["low"], {}, False])
def test_other_effort_is_refused(effort: Json) -> None:
    assert refused(output_config={"effort": effort}).param == "output_config.effort"
    error = refused(system("x"), system(output_config={"effort": effort}))
    assert error.param == "messages[2].output_config.effort"


@pytest.mark.parametrize("content", [..., None, "", []])
def test_message_may_set_the_effort_and_say_nothing(content: Json) -> None:
    message = {"role": "system", "output_config": {"effort": "low"}}
    if content is not ...:
        message["content"] = content
    chat = decoded(message)
    assert (len(chat.messages), chat.thinking, chat.ignored) == (1, Thinking("low", show=False), ())


def effort(value: Json) -> Json:
    return {"role": "system", "content": "x", "output_config": {"effort": value}}


@pytest.mark.parametrize(
    ("messages", "top", "known"),
    [
        ([effort("low")], "high", "low"),
        ([effort("low"), HELLO, effort("high")], None, "high"),
        ([effort("low"), HELLO, system("x"), system(output_config={})], "high", "low"),
        ([effort(None)], "high", "high"),
    ],
)
def test_effort_of_the_last_message_that_has_one_counts_more(messages: Json, top: Json, known: Json) -> None:
    assert thinking(*messages, output_config={"effort": top}).effort == known


# The format of the answer.


@pytest.mark.parametrize("fields", [{"output_config": {"format": FORMAT}}, {"output_format": FORMAT}])
def test_answer_is_json_by_a_schema(fields: Json) -> None:
    chat = decoded(**fields)
    assert (chat.json_format, chat.ignored) == (JsonFormat(SCHEMA), ())


@pytest.mark.parametrize(
    "fields", [{"output_config": {"format": None}}, {"output_format": None}, {"output_config": {}}]
)
def test_answer_is_text_unless_it_is_said(fields: Json) -> None:
    assert decoded(**fields).json_format is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"output_config": "high"}, "output_config"),
        ({"output_config": []}, "output_config"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
        ({"output_config": {"format": {}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "json_schema", "schema": True}}}, "output_config.format.schema"),
        ({"output_format": {"type": "text"}}, "output_format.type"),
        ({"output_format": {"type": "json_schema", "schema": []}}, "output_format.schema"),
    ],
)
def test_other_format_is_refused(fields: Json, param: str) -> None:
    assert refused(**fields).param == param


def test_what_is_not_read_of_a_format_is_listed() -> None:
    more = {**FORMAT, "name": "titles", "strict": True, "description": None}
    config = decoded(output_config={"format": more})
    assert (config.json_format, config.ignored) == (
        JsonFormat(SCHEMA),
        ("output_config.format.name", "output_config.format.strict"),
    )
    assert decoded(output_format=more).ignored == ("output_format.name", "output_format.strict")


def test_older_format_beside_the_newer_one_is_listed() -> None:
    older = {"type": "json_schema", "schema": {"type": "array"}}
    chat = decoded(output_config={"format": FORMAT}, output_format=older)
    assert (chat.json_format, chat.ignored) == (JsonFormat(SCHEMA), ("output_format",))
    assert decoded(output_config={"format": FORMAT}, output_format=None).ignored == ()


# The session.


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        ('{"device_id":"d","account_uuid":"","session_id":"0199-a"}', "0199-a"),
        ('{"device_id":"d","session_id":""}', None),
        ('{"device_id":"d","session_id":5}', None),
        ('{"device_id":"d"}', None),
        ("user_1f_account__session_0199-a", "0199-a"),
        ("user_1f_account_2_session_0199-a", "0199-a"),
        ("_session_", "_session_"),
        ("bob", "bob"),
        ("123", "123"),
        ("null", "null"),
        ('["session_id"]', '["session_id"]'),
        ('{"session_id":', '{"session_id":'),
        ("9" * 5000, "9" * 5000),
        ("[" * 100_000, "[" * 100_000),
        ("", None),
        (None, None),
    ],
)
def test_session_is_the_one_that_the_user_id_names(user_id: Json, session: Json) -> None:
    chat = decoded(metadata={"user_id": user_id})
    assert (chat.session, chat.ignored) == (session, ())


@pytest.mark.parametrize("metadata", [None, {}, {"user_id": None}])
def test_no_user_id_names_no_session(metadata: Json) -> None:
    assert decoded(metadata=metadata).session is None


@pytest.mark.parametrize(
    ("metadata", "param"), [("bob", "metadata"), (["bob"], "metadata"), ({"user_id": 5}, "metadata.user_id")]
)
def test_other_metadata_is_refused(metadata: Json, param: str) -> None:
    assert refused(metadata=metadata).param == param


def test_more_metadata_is_listed() -> None:
    assert decoded(metadata={"user_id": "bob", "team": "a", "none": None}).ignored == ("metadata.team",)


# What is not honoured.


@pytest.mark.parametrize(
    "name",
    [
        *("cache_control", "container", "context_management", "diagnostics", "inference_geo", "service_tier", "speed"),
        *("mcp_servers", "fallbacks", "compaction", "user_profile_id", "anthropic_version", "telescope"),
    ],
)
def test_field_that_is_not_honoured_is_listed(name: str) -> None:
    assert decoded(**{name: {"type": "x"}}).ignored == (name,)
    assert decoded(**{name: None}).ignored == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"service_tier": "auto"},
        {"service_tier": "standard_only"},
        {"speed": "standard"},
        {"betas": []},
        {"mcp_servers": []},
        {"context_management": {"edits": []}},
        {"diagnostics": {"previous_message_id": None}},
    ],
)
def test_field_that_asks_for_nothing_is_not_listed(fields: Json) -> None:
    assert decoded(**fields).ignored == ()


def test_more_of_the_output_config_is_listed() -> None:
    config = {"effort": "low", "task_budget": {"type": "tokens", "total": 9}, "other": None}
    assert decoded(output_config=config).ignored == ("output_config.task_budget",)


def test_each_is_listed_once() -> None:
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    body = {
        "cache_control": {"type": "ephemeral"},
        "system": [block],
        "tools": [{**block, "type": "custom", "name": "f"}],
    }
    del body["tools"][0]["text"]  # type: ignore[index]
    assert decoded({"role": "user", "content": [block, block]}, **body).ignored == ("cache_control",)

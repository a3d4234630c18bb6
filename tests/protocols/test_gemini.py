"""Gemini's own protocol: what agproxy has to know of a body, and how answers and errors are framed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import conversations, sse
from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    Event,
    Failed,
    Finish,
    Message,
    Ping,
    Relayed,
    ReplyMeta,
    TextPart,
    Tool,
)
from agproxy.errors import GatewayError, PoolUnavailable, UpstreamCut, UpstreamRefusal, UpstreamTimeout
from agproxy.protocols import gemini

Json = Any


def decoded(body: Json, *, stream: bool = False) -> ChatRequest:
    return gemini.decode_request(body, model="gemini-x", stream=stream)


def said(role: str, *texts: str) -> Message:
    return Message(role, tuple(TextPart(text) for text in texts))  # type: ignore[arg-type]


def content(*texts: str, role: str = "user") -> Json:
    return {"role": role, "parts": [{"text": text} for text in texts]}


# What tells a conversation.


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
def test_conversation_is_told_by_its_instructions_and_first_words(name: str) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    first = {"parts": [picture, {"text": "Hi"}, {"text": "there"}]}
    body = {"contents": [first, content("Yes?", role="model"), content("More")], name: content("Be kind.")}
    instructions, question, answered = decoded(body).messages
    assert instructions == said("system", "Be kind.")
    assert question.parts == (*said("user", "Hi", "there").parts, AttachmentPart("", base64="AA=="))
    assert answered == Message("assistant", ())  # what was said in it does not matter
    beginning = decoded({name: body[name], "contents": [first]})
    assert beginning.messages == decoded(body).messages[:2]
    assert conversations.key(beginning) == conversations.key(decoded(body))


@pytest.mark.parametrize("holder", ["generateContentRequest", "generate_content_request"])
def test_conversation_whose_tokens_are_counted_is_the_same(holder: str) -> None:
    body = {"contents": [content("Hi")], "systemInstruction": content("Be kind.")}
    assert decoded({holder: body}).messages == decoded(body).messages


@pytest.mark.parametrize(
    "body",
    [
        {"contents": content("Hi"), "systemInstruction": {"parts": {"text": "Be kind."}}},
        {"contents": [{"parts": {"text": "Hi"}}], "system_instruction": {"parts": [None, {"text": "Be kind."}]}},
    ],
)
def test_shorthand_of_a_list_is_read(body: Json) -> None:
    assert decoded(body).messages == (said("system", "Be kind."), said("user", "Hi"))


def test_other_conversation_has_another_key() -> None:
    bodies: list[Json] = [
        {"contents": [content("Hi")]},
        {"contents": [content("Ho")]},
        {"contents": [content("Hi")], "systemInstruction": content("Be kind.")},
        {"contents": [content("Hi")], "systemInstruction": content("Be rude.")},
    ]
    assert len({conversations.key(decoded(body)) for body in bodies}) == 4
    longer = {"contents": [content("Hi"), content("Yes?", role="model"), content("More")]}
    assert conversations.key(decoded(longer)) == conversations.key(decoded(bodies[0]))


@pytest.mark.parametrize("stream", [False, True])
def test_model_and_stream_are_those_of_the_path(stream: bool) -> None:
    request = decoded({"model": "models/other", "stream": not stream}, stream=stream)
    assert (request.model, request.stream) == ("gemini-x", stream)


# What tells a function.


@pytest.mark.parametrize("holder", ["functionDeclarations", "function_declarations"])
@pytest.mark.parametrize("field", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_functions_are_those_of_the_one_holder(holder: str, field: str) -> None:
    schema = {"type": "object"}
    declared = [{"name": "f", field: schema}, {"name": "g"}]
    body = {"tools": [{"googleSearch": {}}, {holder: declared}, {holder: []}]}
    assert decoded(body).tools == (Tool("f", "", schema), Tool("g", "", None))
    assert decoded(body).tool_groups == ()
    assert decoded({"generateContentRequest": body}).tools == decoded(body).tools


def test_functions_of_several_holders_are_told_by_their_place() -> None:
    holders: list[Json] = [
        {"functionDeclarations": [{"name": "f"}]},
        {"googleSearch": {}},
        None,
        {"function_declarations": [{"name": "g"}, {"name": "h", "parameters": {}}]},
    ]
    request = decoded({"tools": holders})
    assert request.tools == (Tool("f", ""), Tool("g", ""), Tool("h", "", {}))
    assert request.tool_groups == (1, 0, 0, 2)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("contents", "parts", "text", "role", "systemInstruction", "system_instruction", "tools", "name"),
                    *("functionDeclarations", "function_declarations", "parameters", "generateContentRequest"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["contents", "tools", "systemInstruction", "generateContentRequest"]), ANY))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_object_can_be_asked(body: dict[str, Any]) -> None:
    request = decoded(body)
    assert conversations.key(request)
    assert all(isinstance(tool.name, str) for tool in request.tools)
    assert sum(request.tool_groups) in (0, len(request.tools))


# Streams.

FIRST, SECOND = b'{"candidates":[{"a":1}]}', b'{ "b" : "\xc3\xa9" }'
FAILURE = UpstreamRefusal("Overloaded", status=503, reason="UNAVAILABLE")
TOLD = b'{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}'


def pieces(*events: Event, framing: str) -> list[bytes]:
    return list(gemini.encode_stream(events, ReplyMeta("", 1, "gemini-x", echo=framing)))


def test_events_are_framed_as_google_does() -> None:
    assert pieces(Relayed(FIRST, True), Relayed(SECOND, True), Finish("stop"), framing="sse") == [
        b"data: " + FIRST + b"\r\n\r\n",
        b"data: " + SECOND + b"\r\n\r\n",
    ]


@given(st.lists(st.text("a\u2028é \n:{", min_size=1), max_size=4))
@settings(max_examples=200, derandomize=True)
def test_payload_with_line_ends_stays_one_event(texts: list[str]) -> None:
    payloads = [text.encode() for text in texts]
    wire = b"".join(pieces(*(Relayed(payload, True) for payload in payloads), framing="sse"))
    assert list(sse.decode([wire])) == payloads
    assert all(line == b"" or line.startswith(b"data: ") for line in wire.split(b"\r\n"))


@pytest.mark.parametrize(
    ("events", "wire"),
    [
        ([], b"[]"),
        ([Relayed(FIRST, True)], b"[" + FIRST + b"]"),
        ([Relayed(FIRST, True), Relayed(SECOND, True)], b"[" + FIRST + b",\r\n" + SECOND + b"]"),
        ([Relayed(b'{"a":\n1}', True)], b'[{"a":\n1}]'),
    ],
)
def test_array_is_framed_as_google_does(events: list[Event], wire: bytes) -> None:
    assert b"".join(pieces(*events, Finish("stop"), framing="array")) == wire


@pytest.mark.parametrize("framing", ["sse", "array"])
def test_pings_are_blank_whenever_they_come(framing: str) -> None:
    events: list[Event] = [Relayed(FIRST, True), Relayed(SECOND, True), Failed(FAILURE)]
    with_pings = [each for event in events for each in (Ping(), Ping(), event)]
    plain, pinged = pieces(*events, framing=framing), pieces(*with_pings, framing=framing)
    assert [piece for piece in pinged if piece != b"\r\n"] == plain
    assert len(pinged) == len(plain) + 6
    wire = b"".join(pinged)
    if framing == "sse":
        assert list(sse.decode([wire])) == [FIRST, SECOND, TOLD]
    else:
        assert json.loads(wire) == [json.loads(each) for each in (FIRST, SECOND, TOLD)]


def test_each_event_is_a_piece_of_its_own() -> None:
    events: list[Event] = [Relayed(FIRST, True), Ping(), Relayed(SECOND, True), Finish("stop")]
    assert pieces(*events, framing="sse") == [
        b"data: " + FIRST + b"\r\n\r\n",
        b"\r\n",
        b"data: " + SECOND + b"\r\n\r\n",
    ]
    assert pieces(*events, framing="array") == [b"[", FIRST, b"\r\n", b",\r\n" + SECOND, b"]"]


@pytest.mark.parametrize("before", [[], [Relayed(FIRST, True)]])
def test_failure_is_an_event_whose_first_key_is_error(before: list[Event]) -> None:
    *_, last = pieces(*before, Failed(FAILURE), framing="sse")
    assert last == b"data: " + TOLD + b"\r\n\r\n"
    assert gemini.encode_failure(FAILURE) == last
    array = json.loads(b"".join(pieces(*before, Failed(FAILURE), framing="array")))
    assert array[-1] == json.loads(TOLD)
    assert len(array) == len(before) + 1


def test_array_begins_before_its_first_element_has_come() -> None:
    def events() -> Iterator[Event]:
        raise AssertionError("nobody has asked for an event")
        yield

    assert next(gemini.encode_stream(events(), ReplyMeta("", 1, "gemini-x", echo="array"))) == b"["


# Errors.

QUOTA: Json = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}],
}
RETRY: Json = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38.2s"}


def test_googles_details_are_handed_on() -> None:
    error = UpstreamRefusal(
        "Quota", status=429, reason="RESOURCE_EXHAUSTED", details=(QUOTA, RETRY), retry_after_s=7200.0
    )
    assert gemini.encode_error(error) == {
        "error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": [QUOTA, RETRY]}
    }


def test_googles_word_for_the_status_is_handed_on() -> None:
    told = gemini.encode_error(UpstreamRefusal("Region", status=400, reason="FAILED_PRECONDITION"))["error"]
    assert told == {"code": 400, "message": "Region", "status": "FAILED_PRECONDITION"}


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (PoolUnavailable("all rest", status=429, retry_after_s=12.3456), "12.346s"),
        (PoolUnavailable("all rest", status=503, retry_after_s=60.0), "60.000s"),
        (PoolUnavailable("all rest", status=429, retry_after_s=0.0), "0.001s"),
        (UpstreamRefusal("Quota", status=429, retry_after_s=2.0), "2.000s"),
    ],
)
def test_time_to_wait_is_told_as_google_does(error: GatewayError, delay: str) -> None:
    (detail,) = gemini.encode_error(error)["error"]["details"]
    assert detail == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    "error",
    [
        PoolUnavailable("all rest", status=429),
        UpstreamTimeout("silent", retry_after_s=5.0),
        UpstreamCut("cut", retry_after_s=5.0),
        UpstreamRefusal("no", status=400, retry_after_s=5.0),
    ],
)
def test_no_time_is_told_where_waiting_does_not_help(error: GatewayError) -> None:
    assert "details" not in gemini.encode_error(error)["error"]


@pytest.mark.parametrize(
    ("status", "word"), [(418, "INVALID_ARGUMENT"), (426, "INVALID_ARGUMENT"), (507, "INTERNAL"), (529, "INTERNAL")]
)
def test_status_without_a_word_of_its_own_has_that_of_its_kind(status: int, word: str) -> None:
    assert gemini.encode_error(UpstreamRefusal("no", status=status))["error"]["status"] == word

"""Answers of Anthropic Messages: the message around the blocks, its stream, usage, ends and errors."""

from collections.abc import Iterable
from types import SimpleNamespace

import anthropic
import httpx2
import pytest
from anthropic.types import Usage as UsageType
from hypothesis import given, settings

from agproxy.chat import (
    Counted,
    Event,
    Failed,
    Finish,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, GatewayError, UpstreamCut, UpstreamRefusal, UpstreamTimeout
from agproxy.fold import fold
from agproxy.jsonwire import encode_json
from agproxy.protocols import anthropic_messages
from agproxy.protocols.anthropic_messages import (
    decode_request,
    encode_error,
    encode_failure,
    encode_reply,
    encode_stream,
    encode_usage,
)
from tests.conversation.wire import server_events
from tests.messages_stream import checked_error, read
from tests.protocols.message_answers import PLAIN, THINKING, USAGES, Json, alike, middle, reply, told

USAGE = Usage(input_tokens=20, output_tokens=9, cached_tokens=8, reasoning_tokens=4)
TOLD = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 8,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
    "server_tool_use": None,
    "service_tier": "standard",
}
NOTHING = {**TOLD, **dict.fromkeys(("input_tokens", "cache_read_input_tokens", "output_tokens"), 0)}
NOTHING["output_tokens_details"] = {"thinking_tokens": 0}


# The message.


def test_message() -> None:
    assert reply(TextDelta("Grüße"), Finish("stop", USAGE)) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "Grüße"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": TOLD,
    }


def test_stream_of_a_text_byte_for_byte() -> None:
    head = '"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5","content":[]'
    stop = '"stop_sequence":null,"stop_details":null'
    start, text, end = encode_stream([TextDelta("Grüße"), Finish("stop", USAGE)], PLAIN)
    assert start.decode() == (
        f'event: message_start\ndata: {{"type":"message_start","message":{{{head},"stop_reason":null,{stop},'
        f'"usage":{encode_json(NOTHING).decode()}}}}}\n\n'
    )
    assert text.decode() == (
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße"}}\n\n'
    )
    assert end.decode() == (
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        f'event: message_delta\ndata: {{"type":"message_delta","delta":{{"stop_reason":"end_turn",{stop}}},'
        f'"usage":{encode_json(TOLD).decode()}}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_message_without_content_is_one() -> None:
    message = alike(Finish("length", USAGE))
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")


def test_message_has_the_model_that_was_asked_for_and_its_own_id() -> None:
    meta = ReplyMeta("msg_7", 1, "claude-3-5-haiku@20241022")
    message = alike(TextDelta("Hi."), Finish("stop"), meta=meta)
    assert (message["id"], message["model"]) == ("msg_7", "claude-3-5-haiku@20241022")


def test_id_has_the_prefix_that_clients_know() -> None:
    assert anthropic_messages.ID_PREFIX == "msg_"


def test_message_of_a_request_that_tells_nothing_has_no_thoughts() -> None:
    meta = ReplyMeta("msg_1", 1, "m", echo=SimpleNamespace(thinks=True))
    assert alike(ReasoningDelta("Hm."), TextDelta("Hi."), Finish("stop"), meta=meta)["content"] == [
        {"type": "text", "text": "Hi."}
    ]


# Why it ended.


@pytest.mark.parametrize(
    ("reason", "told_as"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
)
def test_stop_reason(reason: Json, told_as: str) -> None:
    assert alike(TextDelta("Hi."), Finish(reason))["stop_reason"] == told_as


def test_call_that_was_cut_short_ends_at_the_limit() -> None:
    events: list[Event] = [ToolCallStart(0, "a", "look"), ToolCallDelta(0, "{}"), Finish("length")]
    assert alike(*events)["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("finish", "explanation"),
    [
        (Finish("content_filter", refusal="Gemini refused the prompt (SAFETY).", note="prompt: SAFETY"), ...),
        (Finish("content_filter", note="SAFETY: not that"), "SAFETY: not that"),
        (Finish("content_filter"), None),
    ],
)
def test_refusal_has_its_reason(finish: Finish, explanation: Json) -> None:
    details = alike(finish)["stop_details"]
    expected = "Gemini refused the prompt (SAFETY)." if explanation is ... else explanation
    assert details == {"type": "refusal", "category": None, "explanation": expected}


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls"])
def test_end_that_is_no_refusal_has_no_details(reason: Json) -> None:
    assert alike(TextDelta("Hi."), Finish(reason, note="OTHER"))["stop_details"] is None


# Tokens.


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), (0, 0, 0, 0)),
        (Usage(10, 5), (10, 0, 5, 0)),
        (Usage(10, 5, cached_tokens=10), (0, 10, 5, 0)),
        (Usage(10, 5, cached_tokens=3, reasoning_tokens=5), (7, 3, 5, 5)),
    ],
)
def test_usage_tells_cached_tokens_apart_and_thoughts_within(usage: Usage, expected: tuple[int, ...]) -> None:
    told_usage = encode_usage(usage)
    assert told_usage == {
        **TOLD,
        "input_tokens": expected[0],
        "cache_read_input_tokens": expected[1],
        "output_tokens": expected[2],
        "output_tokens_details": {"thinking_tokens": expected[3]},
    }


@given(USAGES)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_input_and_what_was_cached_are_all_input(usage: Usage) -> None:
    told_usage = UsageType.model_validate(encode_usage(usage), strict=True)
    assert told_usage.input_tokens + (told_usage.cache_read_input_tokens or 0) == usage.input_tokens
    assert told_usage.output_tokens == usage.output_tokens


def test_searches_are_counted() -> None:
    assert encode_usage(Usage(), 3)["server_tool_use"] == {"web_search_requests": 3, "web_fetch_requests": 0}


def test_stream_begins_with_the_tokens_of_the_request_where_they_are_known() -> None:
    counted = Counted(Usage(input_tokens=20, cached_tokens=8))
    start = told(counted, TextDelta("Hi."), Finish("stop", USAGE)).events[0]
    assert start["message"]["usage"] == {**NOTHING, "input_tokens": 12, "cache_read_input_tokens": 8}


@pytest.mark.parametrize("first", [[Ping(), Counted(Usage(20))], [TextDelta("Hi."), Counted(Usage(20))]])
def test_stream_that_has_begun_tells_the_tokens_at_its_end(first: list[Event]) -> None:
    stream = told(*first, Finish("stop", USAGE))
    assert stream.events[0]["message"]["usage"] == NOTHING
    assert stream.message["usage"] == TOLD


# The stream.


def test_stream_begins_with_the_first_event_of_the_answer() -> None:
    def events() -> Iterable[Event]:
        yield TextDelta("a")
        yield TextDelta("b")
        raise AssertionError("was read before the second piece was told")

    stream = encode_stream(events(), PLAIN)
    assert [b"message_start" in next(stream), b'"a"' in next(stream), b'"b"' in next(stream)] == [True, True, True]


def test_ping_before_the_answer_comes_after_the_start() -> None:
    assert told(Ping(), Ping(), TextDelta("Hi."), Finish("stop")).types[:4] == [
        *("message_start", "ping", "ping", "content_block_start")
    ]


def test_ping_comes_between_the_pieces_of_a_block() -> None:
    assert [event["type"] for event in middle(TextDelta("a"), Ping(), TextDelta("b"))] == [
        *("content_block_start", "content_block_delta", "ping", "content_block_delta", "content_block_stop")
    ]


@pytest.mark.parametrize("events", [[], [Ping()], [Counted(Usage(3))]])
def test_answer_without_anything_is_a_stream(events: list[Event]) -> None:
    assert [kind for kind in told(*events, Finish("stop", USAGE)).types if kind != "ping"] == [
        *("message_start", "message_delta", "message_stop")
    ]


def test_end_of_a_stream_is_one_piece() -> None:
    *_, last = encode_stream([TextDelta("a"), Finish("stop")], PLAIN)
    assert [event.name for event in server_events(last)] == ["content_block_stop", "message_delta", "message_stop"]


# Errors.


def failure(status: int, **others: Json) -> GatewayError:
    error = UpstreamRefusal("What went wrong.", status=status)
    for name, value in others.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("before", [[], [Ping()], [TextDelta("Hel")], [ToolCallStart(0, "a", "look")]])
def test_failure_ends_the_stream_with_an_error(before: list[Event]) -> None:
    stream = told(*before, Failed(UpstreamCut("It broke off.")), meta=THINKING)
    assert stream.types[0] == "message_start"
    assert stream.events[-1] == {"type": "error", "error": {"type": "api_error", "message": "It broke off."}}


def test_nothing_comes_after_a_failure() -> None:
    events: list[Event] = [TextDelta("a"), Failed(UpstreamCut("It broke off.")), TextDelta("b"), Finish("stop")]
    assert read(b"".join(encode_stream(events, PLAIN))).error is not None


def test_failure_of_ours_in_a_stream_hides_its_words() -> None:
    assert read(b"".join(encode_stream([TextDelta("a"), Failed(ValueError("secret"))], PLAIN))).error == {
        "type": "api_error",
        "message": "agproxy failed; its log says why",
    }


def test_failure_is_one_event_with_its_name() -> None:
    assert encode_failure(UpstreamTimeout("Too slow.")) == (
        b'event: error\ndata: {"type":"error","error":{"type":"timeout_error","message":"Too slow."}}\n\n'
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (402, "billing_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (426, "invalid_request_error"),
        (501, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_status_has_the_type_that_the_sdk_expects(status: int, kind: str) -> None:
    assert checked_error(encode_error(failure(status))) == {"type": kind, "message": "What went wrong."}


def sdk_error(status: int, body: Json) -> anthropic.APIStatusError:
    """What the SDK raises for an error."""
    answer = httpx2.MockTransport(lambda request: httpx2.Response(status, json=body))
    client = anthropic.Anthropic(api_key="k", max_retries=0, http_client=httpx2.Client(transport=answer))
    with client, pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    return caught.value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503, 504, 529])
def test_sdk_reads_an_error(status: int) -> None:
    body = encode_error(failure(status))
    error = sdk_error(status, body)
    assert (error.status_code, error.type) == (status, body["error"]["type"])
    assert "What went wrong." in str(error)


def test_sdk_learns_that_there_are_no_threads() -> None:
    body = encode_error(BadRequest("No threads.", code="thread_unsupported_request"))
    assert body["error"]["details"] == {"error_code": "thread_unsupported_request"}
    assert sdk_error(400, body).error_code == "thread_unsupported_request"


def test_codes_that_mean_nothing_to_these_clients_are_left_out() -> None:
    assert "details" not in encode_error(BadRequest("No.", code="invalid_type"))["error"]


def words_of(*blocks: Json) -> str:
    """What the client reads when the last message of its conversation holds these blocks."""
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    with pytest.raises(BadRequest) as caught:
        decode_request({"model": "m", "messages": [*history, {"role": "user", "content": list(blocks)}]})
    words: str = encode_error(caught.value)["error"]["message"]
    return words


def image(**source: Json) -> Json:
    return {"type": "image", "source": source}


FAULTY_FILES = [
    (image(type="base64", data=""), "source.data"),
    (image(type="base64", data="%"), "source.data"),
    (image(type="base64", media_type="image/gif", data="R0lGODlhAQABAIAAAAA="), "source.data"),
    (image(type="url", url="http://localhost/cat.png"), "source.url"),
    (image(type="file", file_id="file_1"), "source"),
    ({"type": "document", "source": {"type": "base64", "data": "%"}}, "source.data"),
]


@pytest.mark.parametrize(("block", "field"), FAULTY_FILES)
def test_error_about_a_file_begins_with_its_place(block: Json, field: str) -> None:
    # Anthropic's error object has no field for it.
    text = {"type": "text", "text": "Look:"}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [text, text, block]}
    for blocks, place in (((text, block), "content[1]"), ((text, text, result), "content[2].content[2]")):
        words = words_of(*blocks)
        assert words.startswith(f"messages[2].{place}.{field}")
        assert words.count("messages[2]") == 1
        assert not words.endswith(field)


@pytest.mark.parametrize(
    ("block", "place"),
    [({"type": "text"}, "messages[2].content[0].text"), ({"type": "hologram"}, "messages[2].content[0].type")],
)
def test_error_that_names_its_place_itself_names_it_once(block: Json, place: str) -> None:
    assert words_of(block).count(place) == 1


@pytest.mark.parametrize("param", [None, "", "model", "max_tokens"])
def test_field_of_the_request_itself_is_left_to_the_words(param: str | None) -> None:
    assert encode_error(BadRequest("No.", param=param))["error"]["message"] == "No."


def test_failed_answer_is_no_message() -> None:
    with pytest.raises(UpstreamCut):
        reply(TextDelta("a"), Failed(UpstreamCut("It broke off.")))


def test_names_of_fields_are_those_of_the_request() -> None:
    assert set(anthropic_messages.FIELD_NAMES) >= {"reasoning_effort", "thinking_budget", "include_thoughts"}
    assert anthropic_messages.FIELD_NAMES["thinking_budget"] == "thinking.budget_tokens"


def test_reply_is_not_changed_by_encoding_it() -> None:
    folded = fold([ReasoningDelta("Hm."), TextDelta("Hi."), Finish("stop", USAGE)])
    assert encode_reply(folded, THINKING) == encode_reply(folded, THINKING)

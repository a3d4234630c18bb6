"""Chat Completions answers: whole bodies, streams and errors, judged by the types of the ``openai`` package."""

import json
from collections.abc import Iterable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agproxy import sse
from agproxy.chat import (
    Event,
    Failed,
    Finish,
    FinishReason,
    ImageDelta,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    fold,
)
from agproxy.errors import BadRequest, GatewayError, ModelNotFound, PoolUnavailable, UpstreamCut, UpstreamRefusal
from agproxy.protocols.openai_chat import encode_error, encode_failure, encode_reply, encode_stream

Json = Any

META = ReplyMeta("chatcmpl-1", 1_700_000_000, "gpt-4o", freeform=frozenset({"patch"}))
WITH_USAGE = ReplyMeta("chatcmpl-1", 1_700_000_000, "gpt-4o", include_usage=True, freeform=frozenset({"patch"}))
SIGNED = {"google": {"thought_signature": "QUJD"}}
USAGE = Usage(input_tokens=20, output_tokens=9, cached_tokens=8, reasoning_tokens=4)
CALL: list[Event] = [ToolCallStart(0, "call_1", "look", SIGNED), ToolCallDelta(0, '{"at":'), ToolCallDelta(0, '"sky"}')]


def reply(*events: Event) -> Json:
    """The non-streamed body, as a client reads it."""
    body = json.loads(json.dumps(encode_reply(fold(events), META)))
    ChatCompletion.model_validate(body)
    return body


def stream(*events: Event, meta: ReplyMeta = META) -> list[Json]:
    """The chunks of a stream that ends well; each is a chunk by the SDK's own types."""
    wire = b"".join(encode_stream(events, meta))
    *chunks, last = sse.decode([wire])
    assert last == b"[DONE]"
    decoded = [json.loads(chunk) for chunk in chunks]
    for chunk in decoded:
        _validated(chunk)
    return decoded


def _validated(chunk: Json) -> ChatCompletionChunk:
    """The chunk as the SDK's type, which does not know the calls of custom tools yet: those count as functions."""
    known = json.loads(json.dumps(chunk))
    for choice in known["choices"]:
        for call in choice["delta"].get("tool_calls") or ():
            if "custom" in call:
                custom = call.pop("custom")
                call["function"] = {"name": custom.get("name"), "arguments": custom.get("input")}
                if "type" in call:
                    assert call["type"] == "custom"
                    call["type"] = "function"
    return ChatCompletionChunk.model_validate(known)


def deltas(*events: Event) -> list[Json]:
    return [chunk["choices"][0]["delta"] for chunk in stream(*events)]


# Whole bodies.


def test_body_of_a_text() -> None:
    assert reply(TextDelta("Hel"), TextDelta("lo"), Finish("stop", USAGE)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 4,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def test_body_of_a_call_has_null_content_and_arguments_as_text() -> None:
    body = reply(*CALL, Finish("tool_calls"))
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at":"sky"}'},
                "extra_content": SIGNED,
            }
        ],
    }


def test_body_of_a_custom_tools_call_has_plain_text() -> None:
    call: list[Event] = [ToolCallStart(0, "c", "patch", SIGNED), ToolCallDelta(0, '{"input":"*** \\"Begin\\"\\n"}')]
    message = reply(*call, Finish("tool_calls"))["choices"][0]["message"]
    custom = {"name": "patch", "input": '*** "Begin"\n'}
    assert message["tool_calls"] == [{"id": "c", "type": "custom", "custom": custom, "extra_content": SIGNED}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"x"}', "x"), ("{}", ""), ("", ""), ('{"input":{"a":1}}', '{"a": 1}'), ('{"other":"x"}', "")],
)
def test_input_of_a_custom_tool_is_text_whatever_the_model_wrote(arguments: str, text: str) -> None:
    events: list[Event] = [ToolCallStart(0, "c", "patch"), ToolCallDelta(0, arguments), Finish("tool_calls")]
    assert reply(*events)["choices"][0]["message"]["tool_calls"][0]["custom"]["input"] == text
    assert accumulated(stream(*events))["tool_calls"][0]["custom"]["input"] == text


def test_body_of_a_refusal() -> None:
    message = reply(Finish("content_filter", refusal="Gemini refused the prompt (SAFETY)."))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "refusal": "Gemini refused the prompt (SAFETY)."}


def test_body_of_nothing_but_an_image() -> None:
    message = reply(ImageDelta("image/png", "QQ=="), Finish("stop"))["choices"][0]["message"]
    url = {"url": "data:image/png;base64,QQ=="}
    assert message["images"] == [{"type": "image_url", "index": 0, "image_url": url}]
    assert message["content"] == ""


def test_body_tells_reasoning_and_signature_in_fields_of_their_own() -> None:
    message = reply(ReasoningDelta("Hm"), TextDelta("Yes", SIGNED), Finish("stop"))["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"], message["extra_content"]) == ("Yes", "Hm", SIGNED)


@pytest.mark.parametrize("reason", get_args(FinishReason))
def test_finish_reasons_are_those_of_the_sdk(reason: FinishReason) -> None:
    assert reply(TextDelta("x"), Finish(reason))["choices"][0]["finish_reason"] == reason
    assert stream(TextDelta("x"), Finish(reason))[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("usage", [Usage(), USAGE, Usage(5, 0, 5, 0), Usage(0, 7, 0, 7)])
def test_usage_adds_up(usage: Usage) -> None:
    told = reply(TextDelta("x"), Finish("stop", usage))["usage"]
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
    assert told["prompt_tokens_details"]["cached_tokens"] <= told["prompt_tokens"]
    assert told["completion_tokens_details"]["reasoning_tokens"] <= told["completion_tokens"]


# Streams.


def test_stream_of_a_text_byte_for_byte() -> None:
    wire = b"".join(encode_stream([TextDelta("Grüße"), Finish("stop")], META))
    head = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":'
    assert wire.decode() == (
        f'data: {head}[{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},'
        '"logprobs":null,"finish_reason":null}]}\n\n'
        f'data: {head}[{{"index":0,"delta":{{"content":"Grüße"}},"logprobs":null,"finish_reason":null}}]}}\n\n'
        f'data: {head}[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


def test_all_chunks_have_one_id_time_and_model() -> None:
    chunks = stream(ReasoningDelta("Hm"), TextDelta("a"), *CALL, Finish("tool_calls", USAGE), meta=WITH_USAGE)
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-1", 1_700_000_000, "gpt-4o")
    }
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_role_comes_first_and_once() -> None:
    told = deltas(TextDelta("a"), TextDelta("b"), Finish("stop"))
    assert ["role" in delta for delta in told] == [True, False, False, False]
    assert told[0]["role"] == "assistant"


def test_first_chunk_does_not_wait_for_the_first_event() -> None:
    def silent() -> Iterable[Event]:
        raise AssertionError("was read")
        yield

    assert b'"role":"assistant"' in next(iter(encode_stream(silent(), META)))


def test_each_event_is_a_chunk_of_its_own() -> None:
    told = deltas(ReasoningDelta("Hm"), TextDelta("a"), TextDelta("b"), Finish("stop"))
    assert told[1:] == [{"reasoning_content": "Hm"}, {"content": "a"}, {"content": "b"}, {}]


def test_call_begins_with_id_and_name_and_goes_on_with_arguments() -> None:
    told = deltas(*CALL, Finish("tool_calls"))
    function = {"name": "look", "arguments": ""}
    start = {"index": 0, "id": "call_1", "type": "function", "function": function, "extra_content": SIGNED}
    assert [delta["tool_calls"] for delta in told[1:-1]] == [
        [start],
        [{"index": 0, "function": {"arguments": '{"at":'}}],
        [{"index": 0, "function": {"arguments": '"sky"}'}}],
    ]


def test_custom_tools_input_comes_whole_at_the_end() -> None:
    call: list[Event] = [
        ToolCallStart(0, "c", "patch"),
        ToolCallDelta(0, '{"input":"*** '),
        ToolCallDelta(0, 'Begin"}'),
    ]
    told = deltas(*call, Finish("tool_calls"))
    start = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "patch", "input": ""}}
    assert [delta["tool_calls"] for delta in told[1:-1]] == [
        [start],
        [{"index": 0, "custom": {"input": "*** Begin"}}],
    ]


def test_refusal_comes_before_the_finish() -> None:
    chunks = stream(Finish("content_filter", refusal="No."))
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:]] == [{"refusal": "No."}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "content_filter"]


def test_images_of_a_stream_are_numbered() -> None:
    told = deltas(ImageDelta("image/png", "QQ=="), TextDelta("and"), ImageDelta("image/jpeg", "Qg=="), Finish("stop"))
    assert [image["index"] for delta in told for image in delta.get("images", ())] == [0, 1]
    assert told[3]["images"][0]["image_url"]["url"] == "data:image/jpeg;base64,Qg=="


def test_usage_is_left_out_unless_asked_for() -> None:
    assert all("usage" not in chunk for chunk in stream(TextDelta("a"), *CALL, Finish("stop", USAGE)))


def test_usage_asked_for_is_null_until_a_last_chunk_without_choices() -> None:
    *chunks, last = stream(TextDelta("a"), *CALL, Finish("tool_calls", USAGE), meta=WITH_USAGE)
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == reply(TextDelta("a"), Finish("stop", USAGE))["usage"]


def test_ping_is_a_comment_that_clients_skip() -> None:
    events: list[Event] = [TextDelta("a"), Finish("stop")]
    with_pings: list[Event] = [piece for event in events for piece in (Ping(), event)]
    assert list(encode_stream(with_pings, META)).count(sse.PING) == 2
    assert stream(*with_pings) == stream(*events)


def test_failure_in_the_middle_is_an_error_and_the_end() -> None:
    read: list[str] = []

    def events() -> Iterable[Event]:
        yield TextDelta("Hel")
        yield Failed(UpstreamCut("the answer stopped"))
        read.append("beyond the failure")
        yield Finish("stop")

    payloads = list(sse.decode(encode_stream(events(), WITH_USAGE)))
    error = {"message": "the answer stopped", "type": "server_error", "param": None, "code": "upstream_cut"}
    assert json.loads(payloads[-1]) == {"error": error}
    assert b"[DONE]" not in payloads
    assert all(json.loads(chunk)["choices"][0]["finish_reason"] is None for chunk in payloads[:-1])
    assert len(payloads) == 3
    assert read == []


def test_failure_holds_back_the_unfinished_input_of_a_custom_tool() -> None:
    events: list[Event] = [ToolCallStart(0, "c", "patch"), ToolCallDelta(0, '{"inp'), Failed(UpstreamCut("stopped"))]
    payloads = list(sse.decode(encode_stream(events, META)))
    assert [b"error" in payload for payload in payloads] == [False, False, True]


def test_failure_by_itself_is_one_event() -> None:
    error = BadRequest("no", param="messages")
    (data,) = sse.decode([encode_failure(error)])
    assert json.loads(data) == encode_error(error)


def test_chunks_are_whole_events() -> None:
    events: list[Event] = [TextDelta("a\r\nb\u2028c\ud800"), Ping(), *CALL, Finish("tool_calls", USAGE)]
    for piece in encode_stream(events, WITH_USAGE):
        assert piece.endswith(b"\n\n")
        for event in piece.removesuffix(b"\n\n").split(b"\n\n"):
            assert b"\n" not in event
            assert b"\r" not in event


# What a client puts together from a stream is the body it would have got without one.


def accumulated(chunks: list[Json]) -> Json:
    """The message that a careful client puts together."""
    message: Json = {"finish_reason": None}
    for chunk in chunks:
        if chunk.get("usage"):
            message["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            message["finish_reason"] = choice["finish_reason"] or message["finish_reason"]
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for piece in value:
                        calls = message.setdefault("tool_calls", [])
                        assert piece["index"] <= len(calls), "a call begins without those before it"
                        if piece["index"] == len(calls):
                            assert piece["id"], "a call begins without its id"
                            calls.append({key: piece[key] for key in piece if key != "index"})
                            continue
                        _merge(calls[piece["index"]], {key: piece[key] for key in piece if key != "index"})
                elif name == "images":
                    message.setdefault("images", []).extend(value)
                elif name == "extra_content":
                    message[name] = value
                elif value is not None:
                    message[name] = message.get(name, "") + value
    return message


def _merge(holder: Json, more: Json) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _merge(holder[name], value)
        else:
            holder[name] += value


def _comparable(message: Json) -> Json:
    """Without the difference between null, "" and absent, which clients do not make."""
    return {name: value for name, value in message.items() if value not in (None, "", [])}


TEXTS = st.text(max_size=6) | st.sampled_from(["a\nb", '"\\', "\u2028", "🦊", "[DONE]", "data: x\n\n"])
SIGNATURES = st.sampled_from([None, SIGNED])
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=2)


@st.composite
def answers(draw: st.DrawFn, *, freeform: bool = True) -> list[Event]:
    """The events of an answer as an upstream gives them: calls begin in order, their pieces may interleave."""
    events: list[Event] = []
    open_calls: list[tuple[int, list[str]]] = []
    calls = 0
    names = ["look", "now", "patch"] if freeform else ["look", "now"]
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "call", "piece", "image", "ping"]), max_size=12)):
        match kind:
            case "text":
                events.append(TextDelta(draw(TEXTS), draw(SIGNATURES)))
            case "reasoning":
                events.append(ReasoningDelta(draw(TEXTS)))
            case "image":
                events.append(ImageDelta("image/png", draw(st.sampled_from(["QQ==", "QUJD"]))))
            case "ping":
                events.append(Ping())
            case "call":
                name = draw(st.sampled_from(names))
                written = {"input": draw(TEXTS)} if name == "patch" else draw(ARGUMENTS)
                arguments = json.dumps(written, ensure_ascii=draw(st.booleans()))
                cut = draw(st.integers(0, len(arguments)))
                events.append(ToolCallStart(calls, f"call_{calls}", name, draw(SIGNATURES)))
                open_calls.append((calls, [arguments[:cut], arguments[cut:]]))
                calls += 1
            case _:
                if open_calls:
                    index, pieces = draw(st.sampled_from(open_calls))
                    if pieces:
                        events.append(ToolCallDelta(index, pieces.pop(0)))
    for index, pieces in open_calls:
        events += [ToolCallDelta(index, piece) for piece in pieces]
    counts = st.integers(0, 10**9)
    reason: FinishReason = draw(st.sampled_from(get_args(FinishReason)))
    refusal = draw(st.none() | st.just("Gemini refused the prompt (SAFETY)."))
    events.append(Finish(reason, Usage(draw(counts), draw(counts), draw(counts), draw(counts)), refusal))
    return events


@given(answers())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_accumulated_stream_equals_the_body(events: list[Event]) -> None:
    body = reply(*events)
    message = accumulated(stream(*events, meta=WITH_USAGE))
    assert message.pop("usage") == body["usage"]
    assert message.pop("finish_reason") == body["choices"][0]["finish_reason"]
    assert _comparable(message) == _comparable(body["choices"][0]["message"])


@given(answers(freeform=False))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_stream_accumulated_by_the_sdk_equals_the_body(events: list[Event]) -> None:
    # The SDK joins every string it meets twice, signatures too: it can put together one signed delta only.
    signed = [event for event in events if isinstance(event, TextDelta) and event.provider_metadata]
    for event in signed[:-1]:
        event.provider_metadata = None
    body = reply(*events)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in stream(*events, meta=WITH_USAGE):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    snapshot = state.current_completion_snapshot.model_dump()
    message = snapshot["choices"][0]["message"]
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    expected = body["choices"][0]["message"]
    assert snapshot["choices"][0]["finish_reason"] == body["choices"][0]["finish_reason"]
    assert _comparable(message) == _comparable({**dict.fromkeys(message), **expected})
    for name, count in body["usage"].items():
        if isinstance(count, int):
            assert snapshot["usage"][name] == count


# Errors.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("no"), "invalid_request_error"),
        (ModelNotFound("no"), "invalid_request_error"),
        *((UpstreamRefusal("no", status=status), "invalid_request_error") for status in (400, 401, 403, 413)),
        (UpstreamRefusal("no", status=429), "rate_limit_exceeded"),
        (PoolUnavailable("no", status=429), "rate_limit_exceeded"),
        (PoolUnavailable("no", status=503), "server_error"),
        *((UpstreamRefusal("no", status=status), "server_error") for status in (500, 502, 503, 504, 529)),
        (GatewayError("no"), "server_error"),
    ],
)
def test_type_of_an_error_follows_its_status(error: GatewayError, kind: str) -> None:
    assert encode_error(error)["error"]["type"] == kind


def test_error_names_field_and_code() -> None:
    assert encode_error(BadRequest("model is missing", param="model", code="missing_required_parameter")) == {
        "error": {
            "message": "model is missing",
            "type": "invalid_request_error",
            "param": "model",
            "code": "missing_required_parameter",
        }
    }


@pytest.mark.parametrize("error", [ValueError("/etc/secret: key AIza123"), KeyError("token"), Exception()])
def test_error_that_is_not_ours_hides_its_words(error: Exception) -> None:
    encoded = encode_error(error)
    assert encoded == {
        "error": {
            "message": "agproxy failed; its log says why",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    assert b"secret" not in encode_failure(error)

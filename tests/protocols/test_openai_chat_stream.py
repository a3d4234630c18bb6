"""Chat Completions streams: the chunks of each event, and that together they are the body."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from openai.lib.streaming.chat import ChatCompletionStreamState

from agproxy import sse
from agproxy.chat import (
    Citation,
    Event,
    Failed,
    Finish,
    ImageDelta,
    OtherChoice,
    Ping,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, UpstreamCut
from agproxy.fold import first_calls
from agproxy.protocols.openai_chat import encode_error, encode_failure, encode_stream
from tests.protocols.answers import (
    CALL,
    META,
    OLDER,
    SIGNED,
    USAGE,
    WITH_USAGE,
    Json,
    accumulated,
    comparable,
    reply,
    several_answers,
    stream,
    validated,
)

PAGE = Citation("https://a.co/", "Sky", 0, 4)
OTHER_PAGE = Citation("https://b.co/", "b.co", 5, 5)


def deltas(*events: Event) -> list[Json]:
    return [chunk["choices"][0]["delta"] for chunk in stream(*events)]


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


# Citations, log probabilities, several choices, older clients.


def test_citations_come_once_after_the_text_and_before_the_finish() -> None:
    chunks = stream(TextDelta("Ra"), PAGE, TextDelta("in."), OTHER_PAGE, Finish("stop"))
    told = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [list(delta) for delta in told[1:]] == [["content"], ["content"], ["annotations"], []]
    assert told[3] == {
        "annotations": reply(TextDelta("Rain."), PAGE, OTHER_PAGE, Finish("stop"))["choices"][0]["message"][
            "annotations"
        ]
    }
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]


def test_citation_by_itself_makes_no_chunk() -> None:
    def events() -> Iterable[Event]:
        yield PAGE
        raise AssertionError("was read before the next chunk")

    pieces = iter(encode_stream(events(), META))
    assert next(pieces)
    with pytest.raises(AssertionError, match="was read"):
        next(pieces)


def test_log_probabilities_stand_beside_their_text() -> None:
    scored = TextDelta("Hé", logprobs=(TokenLogprob("H", -0.5, (TokenLogprob("J", -2.0),)), TokenLogprob("é", -1.0)))
    chunks = stream(TextDelta("Oh "), scored, Finish("stop"), meta=WITH_USAGE)
    body = reply(TextDelta("Oh "), scored, Finish("stop"))
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks[:-1]] == [
        None,
        None,
        body["choices"][0]["logprobs"],
        None,
    ]
    assert chunks[2]["choices"][0]["delta"] == {"content": "Hé"}
    assert chunks[2]["choices"][0]["finish_reason"] is None
    assert chunks[2]["usage"] is None


def test_log_probabilities_may_come_after_their_text() -> None:
    late = TextDelta("", logprobs=(TokenLogprob("H", -0.5),))
    told = stream(TextDelta("H"), late, Finish("stop"))[2]["choices"][0]
    assert (told["delta"], told["logprobs"]["content"][0]["token"]) == ({"content": ""}, "H")


SEVERAL: list[Event] = [
    TextDelta("Y"),
    OtherChoice(2, TextDelta("M")),
    OtherChoice(1, TextDelta("N")),
    OtherChoice(1, PAGE),
    TextDelta("es"),
    OtherChoice(1, Finish("length", Usage(1, 1))),
    OtherChoice(2, Finish("stop")),
    OTHER_PAGE,
    Finish("content_filter", USAGE),
]


def test_each_choice_begins_with_its_role_in_the_order_of_their_numbers() -> None:
    chunks = stream(*SEVERAL)
    told = [(chunk["choices"][0]["index"], list(chunk["choices"][0]["delta"])) for chunk in chunks]
    role = ["role", "content", "refusal"]
    assert told == [
        *((0, role), (0, ["content"]), (1, role), (2, role), (2, ["content"]), (1, ["content"]), (0, ["content"])),
        *((1, ["annotations"]), (1, []), (2, []), (0, ["annotations"]), (0, [])),
    ]


def test_each_choice_has_its_own_end_and_all_have_one_usage() -> None:
    *chunks, last = stream(*SEVERAL, meta=WITH_USAGE)
    ends = [(each["index"], each["finish_reason"]) for chunk in chunks for each in chunk["choices"]]
    assert [end for end in ends if end[1]] == [(1, "length"), (2, "stop"), (0, "content_filter")]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 29)


def test_answer_that_only_ends_is_a_choice_too() -> None:
    chunks = stream(OtherChoice(1, Finish("content_filter", refusal="No.")), TextDelta("x"), Finish("stop"))
    assert accumulated(chunks)[1]["message"] == {"role": "assistant", "content": "", "refusal": "No."}


def test_custom_tools_inputs_of_several_choices_are_kept_apart() -> None:
    events: list[Event] = [
        ToolCallStart(0, "a", "patch"),
        OtherChoice(1, ToolCallStart(0, "b", "patch")),
        ToolCallDelta(0, '{"input":"A"}'),
        OtherChoice(1, ToolCallDelta(0, '{"input":"B"}')),
        OtherChoice(1, Finish("tool_calls")),
        Finish("tool_calls"),
    ]
    calls = [choice["message"]["tool_calls"][0] for _, choice in sorted(accumulated(stream(*events)).items())]
    assert [(call["id"], call["custom"]["input"]) for call in calls] == [("a", "A"), ("b", "B")]


def test_failure_of_another_choice_ends_the_stream() -> None:
    events: list[Event] = [TextDelta("x"), OtherChoice(1, Failed(UpstreamCut("stopped"))), TextDelta("y")]
    payloads = list(sse.decode(encode_stream(events, META)))
    assert [b'"error"' in payload for payload in payloads] == [False, False, True]


def test_ping_of_another_choice_does_not_begin_it() -> None:
    assert stream(OtherChoice(1, Ping()), TextDelta("x"), Finish("stop")) == stream(TextDelta("x"), Finish("stop"))


def test_client_of_functions_gets_deltas_of_one_function_call() -> None:
    chunks = stream(TextDelta("Hm"), *CALL, Finish("tool_calls"), meta=OLDER)
    assert [chunk["choices"][0]["delta"] for chunk in chunks[2:]] == [
        {"function_call": {"name": "look", "arguments": ""}},
        {"function_call": {"arguments": '{"at":'}},
        {"function_call": {"arguments": '"sky"}'}},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


# What a client puts together from a stream is the body it would have got without one.


@given(several_answers())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_accumulated_stream_equals_the_body(events: list[Event]) -> None:
    body = reply(*events)
    chunks = stream(*events, meta=WITH_USAGE)
    assert [chunk["usage"] for chunk in chunks if chunk["usage"]] == [body["usage"]]
    choices = accumulated(chunks)
    assert sorted(choices) == [choice["index"] for choice in body["choices"]]
    for expected in body["choices"]:
        told = choices[expected["index"]]
        assert comparable(told["message"]) == comparable(expected["message"])
        assert told["finish_reason"] == expected["finish_reason"]
        assert told["logprobs"] == expected["logprobs"]


@given(several_answers())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_accumulated_stream_of_functions_equals_the_body(events: list[Event]) -> None:
    events = list(first_calls(events))
    choices = accumulated(stream(*events, meta=OLDER))
    for expected in reply(*events, meta=OLDER)["choices"]:
        told = choices[expected["index"]]
        assert comparable(told["message"]) == comparable(expected["message"])
        assert told["finish_reason"] == expected["finish_reason"]


@given(several_answers(freeform=False))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_stream_accumulated_by_the_sdk_equals_the_body(events: list[Event]) -> None:
    events = _signed_once(events)
    body = reply(*events)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in stream(*events, meta=WITH_USAGE):
        state.handle_chunk(validated(chunk))
    snapshot = state.current_completion_snapshot.model_dump()
    for expected, told in zip(body["choices"], snapshot["choices"], strict=True):
        for call in told["message"].get("tool_calls") or ():
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        assert comparable(told["message"]) == comparable({**dict.fromkeys(told["message"]), **expected["message"]})
        assert (told["index"], told["finish_reason"]) == (expected["index"], expected["finish_reason"])
        assert told["logprobs"] == expected["logprobs"]
    for name, count in body["usage"].items():
        if isinstance(count, int):
            assert snapshot["usage"][name] == count


def _signed_once(events: list[Event]) -> list[Event]:
    """The SDK joins every string it meets twice, signatures too: it can put together one signed delta a choice."""
    signed: set[int] = set()
    for event in reversed(events):
        number, inner = (event.number, event.event) if isinstance(event, OtherChoice) else (0, event)
        if isinstance(inner, TextDelta) and inner.provider_metadata:
            if number in signed:
                inner.provider_metadata = None
            signed.add(number)
    return events


def test_first_choice_that_is_whole_does_not_hide_that_another_failed() -> None:
    failed = Failed(UpstreamCut("the other one broke off"))
    stream = b"".join(encode_stream([TextDelta("a"), OtherChoice(0, Finish("stop")), failed], META))
    *_, finish, error = [json.loads(data) for data in sse.decode([stream])]
    assert (finish["choices"][0]["index"], finish["choices"][0]["finish_reason"]) == (0, "stop")
    assert error["error"]["message"] == "the other one broke off"
    assert b"[DONE]" not in stream

"""Content blocks of Anthropic Messages: what becomes of each event, whole and as a stream."""

import json

import pytest
from hypothesis import given, settings

from agproxy.chat import (
    Citation,
    Counted,
    Event,
    Failed,
    Finish,
    ImageDelta,
    Ping,
    ReasoningDelta,
    Searched,
    TextDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
)
from agproxy.errors import UpstreamCut
from agproxy.protocols.anthropic_messages import decode_request, encode_stream
from agproxy.protocols.seals import seal, unseal
from tests.messages_stream import Told, blocks_of, text_of
from tests.protocols.message_answers import (
    PLAIN,
    THINKING,
    Json,
    alike,
    any_answers,
    asking,
    kinds,
    middle,
    reply,
    told,
    usual_answers,
    without_searches,
)

SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}
PAGE = Citation("https://a.co/", "Sky", 0, 4)
BLANK = {"type": "thinking", "thinking": "", "signature": ""}
FOUND = Searched(("sky", "rain"), ("https://a.co/", "https://b.co/"), ("Sky", "Rain"))
STOP = Finish("stop")
LOW = asking(output_config={"effort": "low"})
CALLED = Finish("tool_calls")


def call(index: int = 0, arguments: str = '{"at":"sky"}', signature: Json = None) -> list[Event]:
    """A whole call."""
    return [ToolCallStart(index, f"call_{index}", "look", signature), ToolCallDelta(index, arguments)]


def tool_use(index: int = 0, **arguments: Json) -> Json:
    """The block of that call."""
    return {"type": "tool_use", "id": f"call_{index}", "name": "look", "input": arguments or {"at": "sky"}}


def content(*events: Event, meta: Json = PLAIN) -> list[Json]:
    """The blocks of an answer, whole or streamed."""
    blocks: list[Json] = alike(*events, meta=meta)["content"]
    return blocks


# Texts.


def test_text_is_one_block() -> None:
    assert content(TextDelta("Hel"), TextDelta("lo"), STOP) == [{"type": "text", "text": "Hello"}]


def test_each_piece_of_a_text_is_a_delta() -> None:
    assert middle(TextDelta("Hel"), TextDelta("lo")) == [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
    ]


@pytest.mark.parametrize("text", ["a\nb", '"\\', "\u2028", "🦊", "data: x\n\n", "\r\n", "\x00", "event: ping\n"])
def test_any_text_arrives_as_it_was(text: str) -> None:
    assert content(TextDelta(text), STOP) == [{"type": "text", "text": text}]


@pytest.mark.parametrize("meta", [PLAIN, THINKING], ids=["plain", "thinking"])
@pytest.mark.parametrize("event", [TextDelta(""), ReasoningDelta(""), TextDelta("", SIGNED), Ping()])
def test_event_that_tells_nothing_makes_no_block(event: Event, meta: Json) -> None:
    assert content(event, STOP, meta=meta) == []
    assert content(TextDelta("a"), event, TextDelta("b"), STOP, meta=meta) == [{"type": "text", "text": "ab"}]


def test_image_is_markdown_within_the_text() -> None:
    assert content(TextDelta("See:"), ImageDelta("image/png", "QUJD"), TextDelta("Nice."), STOP) == [
        {"type": "text", "text": "See:\n![image](data:image/png;base64,QUJD)\nNice."}
    ]


# Thoughts.


def test_thoughts_are_a_block_before_the_text() -> None:
    blocks = content(ReasoningDelta("Hm. "), ReasoningDelta("Well."), TextDelta("Rain."), STOP, meta=THINKING)
    assert blocks == [
        {"type": "thinking", "thinking": "Hm. Well.", "signature": seal({})},
        {"type": "text", "text": "Rain."},
    ]


def test_signature_comes_last_in_a_block_of_thoughts() -> None:
    assert middle(ReasoningDelta("Hm."), meta=THINKING) == [
        {"type": "content_block_start", "index": 0, "content_block": BLANK},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": seal({})}},
        {"type": "content_block_stop", "index": 0},
    ]


@pytest.mark.parametrize("meta", [PLAIN, asking(thinking={"type": "disabled"}), LOW])
def test_thoughts_nobody_asked_for_are_not_told(meta: Json) -> None:
    events: list[Event] = [
        ReasoningDelta("Hm."),
        TextDelta("a"),
        ReasoningDelta("Hm."),
        TextDelta("b"),
        *call(0, signature=SIGNED),
    ]
    assert content(*events, CALLED, meta=meta) == [{"type": "text", "text": "ab"}, tool_use()]


@pytest.mark.parametrize(
    "thinking",
    [
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "adaptive", "display": "omitted"},
        {"type": "between_tools"},
    ],
)
def test_thoughts_are_told_to_those_who_asked_for_them(thinking: Json) -> None:
    assert kinds(content(ReasoningDelta("Hm."), TextDelta("a"), STOP, meta=asking(thinking=thinking))) == [
        "thinking",
        "text",
    ]


def test_thoughts_between_texts_have_blocks_of_their_own() -> None:
    events: list[Event] = [ReasoningDelta("1"), TextDelta("a"), ReasoningDelta("2"), TextDelta("b")]
    assert [block.get("thinking", block.get("text")) for block in content(*events, STOP, meta=THINKING)] == [
        *("1", "a", "2", "b")
    ]


# Calls.


def test_call_is_a_block() -> None:
    assert content(TextDelta("Let me look."), *call(), CALLED) == [{"type": "text", "text": "Let me look."}, tool_use()]


def test_input_of_a_call_is_streamed_as_text() -> None:
    events: list[Event] = [ToolCallStart(0, "call_0", "look"), ToolCallDelta(0, '{"at":'), ToolCallDelta(0, '"Köln"}')]
    assert middle(*events) == [
        {"type": "content_block_start", "index": 0, "content_block": {**tool_use(), "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"at":'}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '"Köln"}'}},
        {"type": "content_block_stop", "index": 0},
    ]


@pytest.mark.parametrize("pieces", [[], [""], ["{}"]])
def test_call_without_arguments_has_an_empty_input(pieces: list[str]) -> None:
    events: list[Event] = [ToolCallStart(0, "call_0", "look"), *(ToolCallDelta(0, piece) for piece in pieces)]
    assert content(*events, CALLED) == [{**tool_use(), "input": {}}]


def test_equal_calls_are_two_calls() -> None:
    assert content(*call(0), *call(1), CALLED) == [tool_use(0), tool_use(1)]


def test_name_of_a_tool_comes_back_as_it_was() -> None:
    events: list[Event] = [ToolCallStart(0, "a", "mcp__Gib-Hub__Read.x"), ToolCallDelta(0, "{}")]
    assert content(*events, CALLED)[0]["name"] == "mcp__Gib-Hub__Read.x"


def test_input_that_was_cut_short_is_told_as_text() -> None:
    events: list[Event] = [ToolCallStart(0, "call_0", "look"), ToolCallDelta(0, '{"at": "sk')]
    assert reply(*events, Finish("length"))["content"] == [tool_use(input='{"at": "sk')]


ONE: list[Event] = [ToolCallStart(0, "call_0", "look"), ToolCallDelta(0, '{"at":'), ToolCallDelta(0, "1}")]
TWO: list[Event] = [ToolCallStart(1, "call_1", "look"), ToolCallDelta(1, '{"at":'), ToolCallDelta(1, "2}")]


@pytest.mark.parametrize(
    "order",
    [
        [ONE[0], TWO[0], ONE[1], TWO[1], ONE[2], TWO[2]],
        [ONE[0], TWO[0], *TWO[1:], *ONE[1:]],
        [*ONE[:2], *TWO, ONE[2]],
        [ONE[0], *TWO, *ONE[1:]],
    ],
)
def test_calls_that_come_interleaved_do_not_overlap(order: list[Event]) -> None:
    assert content(*order, CALLED) == [tool_use(0, at=1), tool_use(1, at=2)]


@pytest.mark.parametrize(
    ("between", "block"),
    [
        (TextDelta("x"), {"type": "text", "text": "x"}),
        (ReasoningDelta("x"), {"type": "thinking", "thinking": "x", "signature": seal({})}),
        (ImageDelta("image/png", "QUJD"), {"type": "text", "text": "\n![image](data:image/png;base64,QUJD)\n"}),
        (ImageDelta("audio/wav", "QUJD"), {"type": "text", "text": "\n[audio](data:audio/wav;base64,QUJD)\n"}),
    ],
)
def test_what_comes_within_a_call_waits_for_its_end(between: Event, block: Json) -> None:
    blocks = content(*ONE[:2], between, ONE[2], CALLED, meta=THINKING)
    assert blocks == [tool_use(0, at=1), block]


def test_search_within_a_call_waits_for_its_end() -> None:
    message = told(*ONE[:2], FOUND, ONE[2], CALLED).message
    assert kinds(message["content"]) == ["tool_use", "server_tool_use", "web_search_tool_result"]
    assert message["content"][0] == tool_use(0, at=1)


@pytest.mark.parametrize("end", [Finish("length"), CALLED])
def test_calls_without_arguments_come_one_after_the_other(end: Finish) -> None:
    starts: list[Event] = [ToolCallStart(index, f"call_{index}", "look") for index in range(3)]
    empty = [{**tool_use(index), "input": {}} for index in range(3)]
    assert content(*starts, end) == empty
    assert content(*starts, ToolCallDelta(1, '{"at":2}'), end) == [empty[0], tool_use(1, at=2), empty[2]]
    said = [{"type": "text", "text": "x"}]
    assert content(starts[0], TextDelta("x"), *starts[1:], end) == [empty[0], *said, *empty[1:]]


def test_next_call_does_not_wait_for_the_end() -> None:
    def events() -> Json:
        yield from call(0)
        yield ToolCallStart(1, "call_1", "look")
        raise AssertionError("was read before the second call was told")

    pieces = encode_stream(events(), PLAIN)
    beginning = b"".join(next(pieces) for _ in range(4))
    assert b'"id":"call_1"' in beginning


# Signatures.


def signatures(message: Json) -> Json:
    """Those that the thinking blocks of a message carry, by the id of the call."""
    return {
        call_id: metadata
        for block in blocks_of(message, "thinking")
        for call_id, metadata in unseal(block["signature"]).items()
    }


def test_signature_of_a_call_is_carried_by_the_thoughts_before_it() -> None:
    blocks = content(ReasoningDelta("Hm."), *call(signature=SIGNED), CALLED, meta=THINKING)
    assert blocks == [{"type": "thinking", "thinking": "Hm.", "signature": seal({"call_0": SIGNED})}, tool_use()]


@pytest.mark.parametrize("before", [[], [TextDelta("Let me look.")]], ids=["nothing", "text"])
def test_signature_of_a_call_without_thoughts_has_a_block_of_its_own(before: list[Event]) -> None:
    blocks = content(*before, *call(signature=SIGNED), CALLED, meta=THINKING)
    assert blocks[-2:] == [{"type": "thinking", "thinking": "", "signature": seal({"call_0": SIGNED})}, tool_use()]


def test_signature_alone_is_streamed_as_a_block_of_thoughts() -> None:
    thinking = middle(*call(signature=SIGNED), meta=THINKING)[:3]
    signature = seal({"call_0": SIGNED})
    assert thinking == [
        {"type": "content_block_start", "index": 0, "content_block": BLANK},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": signature}},
        {"type": "content_block_stop", "index": 0},
    ]


def test_call_without_signature_has_no_block_of_thoughts() -> None:
    assert content(*call(), CALLED, meta=THINKING) == [tool_use()]


def test_second_of_parallel_calls_needs_no_signature() -> None:
    message = alike(*call(0, signature=SIGNED), *call(1), CALLED, meta=THINKING)
    assert kinds(message["content"]) == ["thinking", "tool_use", "tool_use"]
    assert signatures(message) == {"call_0": SIGNED}


def test_each_step_of_an_answer_has_its_signature() -> None:
    events: list[Event] = [*call(0, signature=SIGNED), TextDelta("And:"), *call(1, signature=OTHER)]
    assert signatures(alike(*events, CALLED, meta=THINKING)) == {"call_0": SIGNED, "call_1": OTHER}


def test_signature_comes_back_on_its_call() -> None:
    message = alike(ReasoningDelta("Hm."), *call(0, signature=SIGNED), *call(1), CALLED, meta=THINKING)
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": message["content"]}]
    chat = decode_request({"model": "m", "messages": history})
    calls = [part for part in chat.messages[1].parts if isinstance(part, ToolCallPart)]
    assert [(part.id, part.provider_metadata) for part in calls] == [("call_0", SIGNED), ("call_1", None)]
    assert chat.ignored == ()


# What was found on the web.


def test_search_and_what_it_found_are_two_blocks() -> None:
    message = told(TextDelta("Rain."), FOUND, STOP).message
    text, asked, found = message["content"]
    assert text == {"type": "text", "text": "Rain."}
    assert asked == {
        "type": "server_tool_use",
        "id": asked["id"],
        "name": "web_search",
        "input": {"query": "sky; rain"},
    }
    assert found == {
        "type": "web_search_tool_result",
        "tool_use_id": asked["id"],
        "content": [
            {"type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": None}
            for url, title in (("https://a.co/", "Sky"), ("https://b.co/", "Rain"))
        ],
    }
    assert message["usage"]["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}


def test_query_of_a_search_is_streamed_as_text() -> None:
    begun, piece, ended, *_ = middle(FOUND)
    assert begun["content_block"]["input"] == {}
    assert json.loads(piece["delta"]["partial_json"]) == {"query": "sky; rain"}
    assert ended == {"type": "content_block_stop", "index": 0}


def test_body_tells_the_search_before_what_it_bore_out() -> None:
    events: list[Event] = [TextDelta("Rain."), PAGE, FOUND, STOP]
    streamed, whole = told(*events).message, reply(*events)
    assert kinds(whole["content"]) == ["server_tool_use", "web_search_tool_result", "text"]
    assert without_searches(whole) == without_searches(streamed)


def test_page_without_title_is_called_by_its_address() -> None:
    (*_, found) = content(Searched((), ("https://a.co/",)), STOP)
    assert found["content"][0]["title"] == "https://a.co/"


def test_searches_have_ids_of_their_own() -> None:
    for message in (told(FOUND, TextDelta("a"), FOUND, STOP).message, reply(FOUND, TextDelta("a"), FOUND, STOP)):
        ids = {block["id"] for block in blocks_of(message, "server_tool_use")}
        assert len(ids) == 2
        assert message["usage"]["server_tool_use"]["web_search_requests"] == 4


def test_citation_stands_at_the_text_with_the_words_it_bears_out() -> None:
    (text,) = content(TextDelta("Rain is"), TextDelta(" wet."), PAGE, STOP)
    assert text["citations"] == [
        {
            "type": "web_search_result_location",
            "cited_text": "Rain",
            "url": "https://a.co/",
            "title": "Sky",
            "encrypted_index": "",
        }
    ]


def test_citation_may_bear_out_words_of_several_pieces() -> None:
    events: list[Event] = [TextDelta("Rain "), TextDelta("is "), TextDelta("wet.")]
    for cited in (Citation("https://a.co/", "Sky", 5, 12), Citation("https://a.co/", "Sky", 5, 99)):
        (text,) = content(*events, cited, STOP)
        assert text["citations"][0]["cited_text"] == "is wet."


def test_text_goes_on_behind_a_citation() -> None:
    message = told(TextDelta("Rain "), PAGE, TextDelta("is wet."), PAGE, STOP).message
    (block,) = message["content"]
    assert (block["text"], len(block["citations"])) == ("Rain is wet.", 2)


def test_cited_words_are_not_endless() -> None:
    (text,) = content(TextDelta("x" * 500), Citation("https://a.co/", "Sky", 100, 400), STOP)
    assert text["citations"][0]["cited_text"] == "x" * 150


def test_each_citation_is_a_delta() -> None:
    events: list[Event] = [TextDelta("Rain is wet."), PAGE, Citation("https://b.co/", "Wet", 8, 11), STOP]
    deltas = told(*events).deltas("citations_delta")
    assert [delta["citation"]["cited_text"] for delta in deltas] == ["Rain", "wet"]
    assert content(*events)[0]["citations"] == [delta["citation"] for delta in deltas]


def test_citation_is_told_though_the_text_was_not_the_last() -> None:
    events: list[Event] = [TextDelta("Rain is wet."), ReasoningDelta("Hm."), PAGE, STOP]
    for message in (told(*events, meta=THINKING).message, reply(*events, meta=THINKING)):
        cited = [place["cited_text"] for block in blocks_of(message, "text") for place in block.get("citations", ())]
        assert cited == ["Rain"]


def test_citation_without_any_text_makes_no_block() -> None:
    assert content(PAGE, STOP) == []


# Any answer.


@given(any_answers())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_answer_is_a_stream_and_a_message(events: list[Event]) -> None:
    for meta in (PLAIN, THINKING):
        streamed, whole = told(*events, meta=meta).message, reply(*events, meta=meta)
        assert blocks_of(streamed, "tool_use") == blocks_of(whole, "tool_use")
        assert streamed["usage"] == whole["usage"]
        if not any(isinstance(event, Citation) for event in events):  # which may need words to stand at
            assert text_of(streamed) == text_of(whole)


@given(usual_answers())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_usual_answer_is_the_same_however_it_is_told(events: list[Event]) -> None:
    for meta in (PLAIN, THINKING):
        streamed, whole = told(*events, meta=meta).message, reply(*events, meta=meta)
        assert without_searches(streamed) == without_searches(whole)
        assert signatures(streamed) == signatures(whole)


@given(any_answers())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_answer_that_breaks_off_anywhere_is_a_stream(events: list[Event]) -> None:
    whole = told(*events, meta=THINKING)
    for place in range(len(events)):
        broken: Told = told(*events[:place], Failed(UpstreamCut("It broke off.")), meta=THINKING)
        assert broken.error == {"type": "api_error", "message": "It broke off."}
        assert text_of(whole.message).startswith(text_of(broken.message))


@given(any_answers())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_piece_of_a_stream_holds_whole_events(events: list[Event]) -> None:
    for piece in encode_stream([Counted(events[-1].usage), *events], THINKING):  # type: ignore[union-attr]
        assert piece.startswith(b"event: ")
        assert piece.endswith(b"\n\n")

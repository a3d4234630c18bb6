"""A code fence around the whole answer goes, however the text is cut; any other text stays as it is."""

from time import process_time

import pytest

from agproxy.chat import Citation, Event, Failed, Finish, OtherChoice, Ping, ReasoningDelta, TextDelta, ToolCallStart
from agproxy.errors import UpstreamCut
from agproxy.fold import fold
from agproxy.unfence import unfenced

BARE = '{"a": "`b`"}'
FENCED = [
    f"```json\n{BARE}\n```",
    f"```\n{BARE}\n```",
    f"\n ```JSON\r\n{BARE}\r\n```\n",
    f"```json  \n{BARE}```",
    f"```json\n{BARE}\n``` \n\n",
    f"```json\n{BARE}",  # cut short
]
NOT_FENCED = [
    BARE,
    "",
    "`",
    "``",
    "`code`",
    "Here you are:\n```json\n{}\n```",
    "```inline``` and more",
    "```json {} ```",
    " \n{}",
    '{"markdown": "```js\\n1\\n```"}',
    "text```",
]
WITHIN = [
    ("```md\nBefore\n```js\n1\n```\nafter\n```", "Before\n```js\n1\n```\nafter"),
    ("```json\n{}\n```\nThat is all.", "{}\n```\nThat is all."),  # words behind it: better all than some
]


def pieces(text: str, size: int) -> list[Event]:
    return [TextDelta(text[start : start + size]) for start in range(0, len(text), size)]


def text_of(events: list[Event]) -> str:
    return fold(unfenced([*events, Finish("stop")])).text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("text", FENCED)
def test_fence_around_the_whole_answer_goes(text: str, size: int) -> None:
    assert text_of(pieces(text, size)).strip() == BARE


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("text", NOT_FENCED)
def test_text_that_is_not_in_a_fence_stays_as_it_is(text: str, size: int) -> None:
    assert text_of(pieces(text, size)) == text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(("text", "left"), WITHIN)
def test_fences_within_the_text_stay(text: str, left: str, size: int) -> None:
    assert text_of(pieces(text, size)).strip() == left


def test_text_is_passed_on_as_it_comes() -> None:
    events: list[Event] = [
        TextDelta("```json\n"),
        TextDelta('{"a":'),
        TextDelta(" 1}\n"),
        TextDelta("```"),
        Finish("stop"),
    ]
    assert list(unfenced(events)) == [TextDelta('{"a":'), TextDelta(" 1}"), Finish("stop")]


def test_other_events_keep_their_place() -> None:
    call = ToolCallStart(0, "id", "f")
    events: list[Event] = [ReasoningDelta("Hm."), TextDelta("``"), Ping(), call, TextDelta("x"), Finish("stop")]
    assert list(unfenced(events)) == [
        ReasoningDelta("Hm."),
        Ping(),
        TextDelta("``"),
        call,
        TextDelta("x"),
        Finish("stop"),
    ]


def test_what_was_held_back_is_not_lost_when_the_answer_breaks_off() -> None:
    failed = Failed(UpstreamCut("gone"))
    assert list(unfenced([TextDelta("``"), failed])) == [TextDelta("``"), failed]


def test_signature_on_a_piece_that_is_held_back_is_passed_on() -> None:
    signed = TextDelta("```json\n", {"google": {"thought_signature": "QUJD"}})
    assert next(unfenced([signed, Finish("stop")])) == TextDelta("", {"google": {"thought_signature": "QUJD"}})


def test_each_choice_has_a_fence_of_its_own() -> None:
    events: list[Event] = [
        OtherChoice(1, TextDelta(f"```json\n{BARE}\n```")),
        OtherChoice(1, Finish("stop")),
        TextDelta("{}"),
        Finish("stop"),
    ]
    reply = fold(unfenced(events))
    assert (reply.text, [other.text for other in reply.others]) == ("{}", [BARE])


def test_citations_keep_their_words() -> None:
    text = '```json\n{"temp": "18 Grad"}\n```'
    start = text.index("18 Grad")
    events: list[Event] = [TextDelta(text), Citation("https://a.b", "T", start, start + 7), Finish("stop")]
    reply = fold(unfenced(events))
    (citation,) = reply.citations
    assert (reply.text, reply.text[citation.start : citation.end]) == ('{"temp": "18 Grad"}', "18 Grad")


def test_citations_of_bare_text_stay_where_they_are() -> None:
    citation = Citation("https://a.b", "T", 1, 3)
    assert fold(unfenced([TextDelta("{}  "), citation, Finish("stop")])).citations == (citation,)


def test_citation_of_the_fence_itself_is_within_the_text() -> None:
    events: list[Event] = [TextDelta("```\n{}\n```"), Citation("https://a.b", "T", 0, 10), Finish("stop")]
    assert fold(unfenced(events)).citations == (Citation("https://a.b", "T", 0, 2),)


def test_fence_before_a_call_goes() -> None:
    events: list[Event] = [TextDelta(f"```json\n{BARE}\n```"), ToolCallStart(0, "id", "f"), Finish("tool_calls")]
    assert fold(unfenced(events)).text == BARE


@pytest.mark.parametrize("size", [1, 1000, 200_000])
def test_endless_blanks_cost_little(size: int) -> None:
    text = "```json\n{" + " " * 100_000 + "}" + "\n" * 100_000 + "```"
    started = process_time()
    assert text_of(pieces(text, size)) == "{" + " " * 100_000 + "}"
    assert process_time() - started < 2

"""The judge of the fault matrix: it takes nothing for a whole answer that is none, cut wherever it may be."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from tests.fake_google import Answer, RecordedRequest, text, unavailable
from tests.faults import left
from tests.faults.connection_faults import in_the_middle
from tests.faults.outcome import WAYS, Mode, Received, judge
from tests.faults.stage import ANSWER, GOOD, opened

Way = tuple[str, Mode]
each_way = pytest.mark.parametrize("way", WAYS, ids="-".join)
each_stream = pytest.mark.parametrize("way", [way for way in WAYS if way[1] != "whole"], ids="-".join)


def received(way: Way, answer: Answer | Callable[[RecordedRequest], Answer] = GOOD) -> Received:
    """What a client gets, when Google answers this."""
    with left.access_log() as log, opened(*way, log) as stage:
        stage.google.default = answer
        stage.set(max_attempts=1)
        return stage.ask()


def parts(body: bytes) -> list[bytes]:
    """The body, cut at each byte near its end, and here and there before."""
    end = len(body.rstrip())
    return [body[:size] for size in sorted({*range(0, end, 11), *range(max(0, end - 150), end)})]


@each_way
def test_whole_answer(way: Way) -> None:
    assert str(judge(*way, received(way), text=ANSWER)) == "whole"


@each_way
def test_no_part_of_an_answer_is_a_whole_one(way: Way) -> None:
    whole = received(way)
    kinds = {judge(*way, replace(whole, body=part), text=ANSWER).kind for part in parts(whole.body)}
    assert kinds <= {"cut", "false"}


@each_way
def test_answer_whose_connection_broke_off_is_cut_whatever_came(way: Way) -> None:
    assert judge(*way, replace(received(way), is_broken_off=True), text=ANSWER).kind == "cut"


@each_way
def test_another_text_is_no_whole_answer(way: Way) -> None:
    assert judge(*way, received(way, text("The whole")), text=ANSWER).kind == "false"


@each_way
def test_answer_of_another_type_is_one_that_no_client_reads(way: Way) -> None:
    assert judge(*way, replace(received(way), content_type="text/html"), text=ANSWER).kind == "false"


@each_stream
def test_error_in_a_stream(way: Way) -> None:
    broken = received(way, in_the_middle("fin"))
    outcome = judge(*way, broken, text=ANSWER)
    assert outcome.kind == "broken"
    assert outcome.words == "the connection to the model service broke in the middle of its answer"
    kinds = {judge(*way, replace(broken, body=part), text=ANSWER).kind for part in parts(broken.body)}
    assert kinds <= {"cut", "false"}


@each_way
def test_error_before_the_answer(way: Way) -> None:
    outcome = judge(*way, received(way, unavailable()), text=ANSWER)
    assert (outcome.kind, outcome.status) == ("error", 503)
    assert "high demand" in outcome.words


@each_way
def test_error_of_another_protocol_is_one_that_no_client_reads(way: Way) -> None:
    other: Mapping[str, Way] = {"gemini": ("messages", "whole"), "messages": ("chat", "whole")}
    foreign = received(other.get(way[0], ("gemini", "whole")), unavailable())
    assert judge(*way, foreign, text=ANSWER).kind == "false"


@each_way
def test_page_in_place_of_an_error_is_one_that_no_client_reads(way: Way) -> None:
    page = Received(500, "text/html", b"<html><title>Internal Server Error</title></html>")
    assert judge(*way, page, text=ANSWER).kind == "false"


@pytest.mark.parametrize("mode", ["whole", "stream", "array"])
def test_answer_that_says_nothing_is_empty(mode: Mode) -> None:
    for body in (b"{}", b'{"candidates":[{"content":{},"finishReason":"STOP"}]}'):
        written = {"whole": body, "stream": b"data: " + body + b"\r\n\r\n", "array": b"[" + body + b"]"}[mode]
        kind = "text/event-stream" if mode == "stream" else "application/json"
        assert judge("gemini", mode, Received(200, kind, written), text=ANSWER).kind == "empty"


@each_stream
def test_nothing_may_come_after_the_end(way: Way) -> None:
    whole = received(way)
    assert judge(*way, replace(whole, body=whole.body * 2), text=ANSWER * 2).kind == "false"

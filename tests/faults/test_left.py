"""What the fault matrix says of that which is left behind."""

import contextlib
import socket
import threading

from tests.fake_google import Answer, RecordedRequest
from tests.faults import left
from tests.faults.stage import GOOD, opened


def test_idle_connections_are_no_complaint_and_others_are() -> None:
    with left.access_log() as log, opened("chat", "stream", log) as stage:
        together = threading.Barrier(2, timeout=10)  # so that each has a connection

        def answer(_: RecordedRequest) -> Answer:
            together.wait()
            return GOOD

        stage.google.default = answer
        stage.warm_up(2)
        assert left.connections(stage.app, stage.google) == ""
        with contextlib.closing(socket.create_connection(("127.0.0.1", stage.google.port))):
            stage.google.wait_until(lambda: stage.google.open_connections == 3)
            complaint = left.connections(stage.app, stage.google, patience_s=0.05)
            assert complaint == "3 connections are open, of which 2 are idle"
        assert left.connections(stage.app, stage.google) == ""
        assert stage.complaints == []


def test_idle_connection_that_was_closed_does_not_count() -> None:
    with left.access_log() as log, opened("chat", "whole", log) as stage:
        stage.google.default = stage.google.default.delivered(stale=True)  # type: ignore[union-attr]
        stage.warm_up()
        assert left.connections(stage.app, stage.google) == ""


def test_thread_that_goes_on_is_a_complaint() -> None:
    before = set(threading.enumerate())
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="goes on")
    thread.start()
    assert left.threads(before, patience_s=0.05) == "threads are left: ['goes on']"
    over.set()
    assert left.threads(before) == ""


def test_request_has_one_line_in_the_log() -> None:
    with left.access_log() as log, opened("chat", "whole", log) as stage:
        assert log.complaint("req_1") == "0 lines in the log for req_1"
        stage.warm_up()
        assert stage.complaints == []
        ids = [line.partition(" ")[0].removeprefix("id=") for line in log.lines]
        assert [log.complaint(each) for each in ids] == [""]
        log.lines.append(log.lines[0])
        assert [log.complaint(each) for each in ids] == [f"2 lines in the log for {ids[0]}"]

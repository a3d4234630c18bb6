"""Server-sent events: each ``data/sse/*.sse`` holds the events of its ``.json``, however its bytes are cut."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import sse

FOLDER = Path(__file__).parent / "data" / "sse"
CASES = sorted(path.stem for path in FOLDER.glob("*.sse"))


def read_case(name: str) -> tuple[bytes, list[bytes]]:
    expected = json.loads((FOLDER / f"{name}.json").read_bytes())
    return (FOLDER / f"{name}.sse").read_bytes(), [text.encode() for text in expected]


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[start : start + size] for start in range(0, len(wire), size)]


@pytest.mark.parametrize("name", CASES)
def test_wire_is_decoded_in_one_piece(name: str) -> None:
    wire, events = read_case(name)
    assert list(sse.decode([wire])) == events


@pytest.mark.parametrize("name", CASES)
def test_wire_is_decoded_the_same_when_cut_at_any_byte(name: str) -> None:
    wire, events = read_case(name)
    for position in range(len(wire) + 1):
        assert list(sse.decode([wire[:position], wire[position:]])) == events, position


@pytest.mark.parametrize("name", CASES)
def test_wire_is_decoded_the_same_in_chunks_of_any_size(name: str) -> None:
    wire, events = read_case(name)
    for size in range(1, 41):
        assert list(sse.decode(cut(wire, size))) == events, size


@pytest.mark.parametrize("name", CASES)
def test_empty_chunks_change_nothing(name: str) -> None:
    wire, events = read_case(name)
    chunks = [piece for byte in cut(wire, 1) for piece in (b"", byte, b"")]
    assert list(sse.decode(chunks)) == events


@given(
    pieces=st.lists(
        st.sampled_from([b"\n", b"\r", b"\r\n", b"data: ", b"data", b":", b"x", b"\xc3\xa9", b"\xef\xbb\xbf", b" "]),
        max_size=40,
    ),
    size=st.integers(1, 7),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_are_decoded_the_same_however_cut(pieces: list[bytes], size: int) -> None:
    wire = b"".join(pieces)
    assert list(sse.decode(cut(wire, size))) == list(sse.decode([wire]))


def test_event_is_given_as_soon_as_its_blank_line_has_come() -> None:
    taken: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"data: 1\r\n\r", b"\ndata: 2\n", b"\n", b"data: 3\n\n"):
            taken.append(chunk)
            yield chunk

    events = sse.decode(chunks())
    assert (next(events), len(taken)) == (b"1", 1)  # the CR alone ends the line; its LF is not waited for
    assert (next(events), len(taken)) == (b"2", 3)
    assert (next(events), len(taken)) == (b"3", 4)


def test_decode_ends_with_its_chunks() -> None:
    assert list(sse.decode([])) == []


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1000, 4096, 65536, 10**7])
def test_line_of_a_megabyte_passes_whole(line_end: bytes, size: int) -> None:
    data = b'{"data":"' + b"QUJD" * 250_000 + b'"}'
    wire = b"data: " + data + line_end * 2 + b"data: next" + line_end * 2
    assert list(sse.decode(cut(wire, size))) == [data, b"next"]


def test_time_for_a_long_line_grows_with_its_length_only() -> None:
    def seconds(megabytes: int) -> float:
        chunks = cut(b"data: " + b"x" * (megabytes * 1_000_000) + b"\n\n", 4096)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            assert sum(map(len, sse.decode(chunks))) == megabytes * 1_000_000
            best = min(best, time.process_time() - started)
        return best

    # Joining anew at each of the 4,000 chunks would copy 32 GB, 64 times as much as for 2 MB.
    assert seconds(16) < max(0.2, 25 * seconds(2))


@pytest.mark.parametrize("data", [b'{"a":1}', b"", " 🦊".encode(), b" leading space", b"x" * 100_000])
def test_what_is_encoded_is_decoded_again(data: bytes) -> None:
    assert list(sse.decode([sse.encode(data), sse.PING, sse.DONE])) == [data, b"[DONE]"]


def test_encoded_event_is_one_data_line() -> None:
    assert sse.encode(b'{"a":1}') == b'data: {"a":1}\n\n'


def test_ping_is_a_comment() -> None:
    assert sse.PING.startswith(b":")
    assert sse.PING.endswith(b"\n\n")
    assert list(sse.decode([sse.PING] * 3)) == []

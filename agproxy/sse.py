"""Server-sent events: bytes to the data of each event, and back.

Wire: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import itertools
from collections.abc import Iterable, Iterator

PING = b": ping\n\n"  # a comment, which parsers skip
DONE = b"data: [DONE]\n\n"

_BOM = b"\xef\xbb\xbf"
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def decode(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the data of each event, however the bytes are cut.

    Lines end in LF, CRLF or CR and in nothing else; of the fields only ``data`` is read. What stands before the
    end without its blank line is yielded too, so that a cut shows as broken JSON and not as silence. So is a JSON
    object or array in place of a stream, for it may be an error; line ends, which are mere space in it, become spaces.
    """
    head = b""
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if _BOM.startswith(head) or not (text := head.removeprefix(_BOM).lstrip()):
            continue
        if text[0] in b"{[":
            yield (head + b"".join(rest)).translate(_ONE_LINE)
            return
        break
    yield from _events(itertools.chain((head,), rest))


def _events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unfinished: list[bytes] = []  # pieces of the line whose end has not come
    lines: list[bytes] = []  # data of the event whose end has not come
    after_cr = False
    first = True
    for chunk in chunks:
        if not chunk:
            continue
        if after_cr and chunk[0] == 10:
            chunk = chunk[1:]  # the second half of a CRLF
            after_cr = False
            if not chunk:
                continue
        after_cr = chunk[-1] == 13
        if 13 in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, *rest = chunk.split(b"\n")
        if not rest:
            unfinished.append(head)
            continue
        unfinished.append(head)
        line = b"".join(unfinished)
        if first:
            first = False
            line = line.removeprefix(_BOM)
        unfinished = [rest.pop()]
        for line in (line, *rest):  # noqa: B020
            if not line:
                if lines:
                    yield b"\n".join(lines)
                    lines = []
            elif line.startswith(b"data:"):
                lines.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                lines.append(b"")
    line = b"".join(unfinished)
    if first:
        line = line.removeprefix(_BOM)
    if line.startswith(b"data:"):
        lines.append(line[6:] if line[5:6] == b" " else line[5:])
    if lines:
        yield b"\n".join(lines)


def encode(data: bytes) -> bytes:
    """One event; ``data`` is JSON, which holds no line end."""
    return b"data: " + data + b"\n\n"

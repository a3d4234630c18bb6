"""agproxy with faults that no client may miss, for the test of ``tools/soak``: it has to find each of them.

Of the streams, some lose all after their first piece, and end as if that were all; of all answers, some have one
character changed; some lines of the access log are not written.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agproxy.wsgi import app as agproxy

_CUT_EVERY = 60  # streams
_CHANGED_EVERY = 60  # pieces that hold the word below
_LOST_EVERY = 60  # lines
_WORD, _OTHER = b"gateway", b"gatewaj"

_streams = itertools.count(1)
_pieces = itertools.count(1)
_lines = itertools.count(1)


class _Doctored:
    """The pieces of an answer."""

    def __init__(self, pieces: Iterable[bytes], *, is_stream: bool) -> None:
        self._pieces = pieces
        self._is_cut = is_stream and next(_streams) % _CUT_EVERY == 0

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self._pieces):
            if self._is_cut and number:
                return
            if _WORD in piece and next(_pieces) % _CHANGED_EVERY == 0:
                piece = piece.replace(_WORD, _OTHER, 1)
            yield piece

    def close(self) -> None:
        """As WSGI wants it: the answer is over, or its client has gone."""
        close: Callable[[], None] = getattr(self._pieces, "close", lambda: None)
        close()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application."""
    streamed: list[bool] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        streamed.append(status.startswith("200") and "Content-Length" not in dict(headers))
        return start_response(status, headers, exc_info)

    pieces = agproxy(environ, start)
    return _Doctored(pieces, is_stream=streamed[0])


def _is_kept(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("id=req_") or next(_lines) % _LOST_EVERY != 0


logging.getLogger("agproxy.app").addFilter(_is_kept)

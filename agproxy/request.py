"""One HTTP request to agproxy, and what becomes known about it while it is served."""

import logging
import time
import zlib
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import werkzeug

from agproxy.call import Call
from agproxy.config import Server
from agproxy.errors import BadRequest, PayloadTooLarge, UnsupportedMedia, redact
from agproxy.jsonwire import decode_object
from agproxy.protocols import suggested

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_GZIP = 31  # zlib's word for the gzip format with the largest window


class Request(werkzeug.Request):
    """A request, with what the answer's headers and the access line need.

    :ivar mapped_model: the physical model, once it is known.
    :ivar ignored: the request fields that are not honoured.
    :ivar account: label of the account that answered, once that is known.
    :ivar body_length: bytes of the body, decompressed, once it has been read, and of what it stands for.
    :ivar is_quiet: it leaves no line in the log.
    :ivar fixed_path: the path that is served in place of the one sent, or empty.
    """

    def __init__(self, environ: dict[str, Any], *, id_: str, server: Server, secrets: tuple[str, ...]) -> None:
        super().__init__(environ, populate_request=False)
        self.id = id_
        self.secrets = secrets
        self.max_body_bytes = server.max_body_bytes
        self.trusted_proxies = server.trusted_proxies
        self.started = time.monotonic()
        self.first_event_s: float | None = None
        self._protocol: ModuleType | None = None
        self.is_local = False
        self.mapped_model = ""
        self.ignored: tuple[str, ...] = ()
        self.account = ""
        self.fixed_path = ""
        self.call: Call | None = None
        self.body_length = 0
        self.is_quiet = False
        self.error = ""

    @property
    def protocol(self) -> ModuleType:
        """The module of the protocol that its client speaks: that of the route, else what the request suggests."""
        if self._protocol is None:
            self._protocol = suggested(self.path, self.headers, has_query_key="key" in self.query())
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: ModuleType) -> None:
        self._protocol = protocol

    def redacted(self, text: str) -> str:
        """``text``, in which a key may stand by mistake, without it."""
        return redact(text, self.secrets)

    def query(self) -> dict[str, str]:
        """The parameters of the query string, the first of each name. (``args`` fails for bytes that are not UTF-8.)"""
        found = parse_qs(self.query_string.decode("latin-1")) if self.query_string else {}
        return {name: values[0] for name, values in found.items()}

    def body(self) -> bytes:
        """The whole body, decompressed.

        :raises PayloadTooLarge: over ``max_body_bytes``; one that says its length is not read at all.
        """
        coding = self.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if coding not in ("identity", "gzip", ""):
            raise UnsupportedMedia(f"the body may be compressed with gzip, not with {coding[:40]!a}")
        body = self._read()
        if coding == "gzip":
            body = self._unzipped(body)
        self.body_length = len(body)
        return body

    def json_object(self) -> dict[str, Any]:
        """The JSON object that the body holds."""
        return decode_object(self.body())

    def _read(self) -> bytes:
        """Read by hand: Werkzeug cuts a chunked body off at its limit, and does not say so."""
        length = self.content_length
        if length is None and not self.environ.get("wsgi.input_terminated"):
            return b""
        if length is not None and length > self.max_body_bytes:
            raise self._too_large()
        stream = self.environ["wsgi.input"]
        left = self.max_body_bytes + 1 if length is None else length
        pieces = []
        try:
            while left > 0 and (piece := stream.read(min(left, _READ_BYTES) if length is None else left)):
                pieces.append(piece)
                left -= len(piece)
        except Exception as error:  # the server's: OSError for a client that is gone, its own for malformed chunks
            log.info("body did not arrive whole id=%s error=%s", self.id, type(error).__name__)
            raise BadRequest("the body did not arrive whole", code="incomplete_body") from error
        if length is not None and left > 0:
            raise BadRequest("the body is shorter than its Content-Length", code="incomplete_body")
        if length is None and left == 0:
            raise self._too_large()
        return b"".join(pieces)

    def _unzipped(self, body: bytes) -> bytes:
        unzip = zlib.decompressobj(_GZIP)
        try:
            plain = unzip.decompress(body, self.max_body_bytes + 1)
        except zlib.error as error:
            raise BadRequest(
                "the body is not gzip, though its Content-Encoding says so", code="incomplete_body"
            ) from error
        if len(plain) > self.max_body_bytes:
            raise self._too_large()
        if not unzip.eof or unzip.unused_data:  # one member; who sends several means the rest too
            raise BadRequest("the gzip body is not whole, or has more than one member", code="incomplete_body")
        return plain

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"the body is over {self.max_body_bytes} bytes (max_body_bytes in [server] of agproxy.ini)"
        )

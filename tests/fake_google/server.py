"""The fake as a test sees it: a server on loopback, its queue of scripted answers, its records."""

import collections
import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.fake_google.choose import Script
from tests.fake_google.families import EMBEDDING_MODELS, KNOWN_MODELS
from tests.fake_google.handler import Handler, Server
from tests.fake_google.record import RecordedRequest
from tests.fake_google.script import Answer, text
from tests.fake_google.signatures import NOT_VALID, SignatureLedger
from tests.fake_google.validate import Rules

DEFAULT_KEYS = {"test-key-a": "project-a", "test-key-b": "project-b", "test-key-c": "project-c"}
_DEFAULT_ANSWER = text("Hello from fake Google")


@dataclass(frozen=True, slots=True)
class _Queued:
    script: Script
    key: str | None
    model: str | None
    method: str | None

    def fits(self, request: RecordedRequest) -> bool:
        """Whether this is an answer for the request."""
        methods = (self.method,) if self.method else ("generateContent", "streamGenerateContent")
        return self.key in (None, request.key) and self.model in (None, request.model) and request.method in methods


class FakeGoogle:
    """A Gemini API on loopback, as strict as the real one, that answers what a test tells it to.

    ::

        with FakeGoogle() as google:
            google.enqueue(text("Hello"), quota_per_minute())
            ...  # the system under test calls google.url
            google.assert_no_refusals()

    :param keys: the API keys it knows; a mapping names the project of each, else each has its own.
    :param models: the models it knows: those that generate, and those that embed.
    :param bind_signatures_to_project: refuse a thought signature that another project got.
    :param strict_dummies: refuse a dummy signature on a part that needs none.
    :param signature_refusal: how a bad signature is refused.
    :param native: be no stricter than Google, for the bodies of native clients (see ``validate``).
    :param context: serve over TLS, with the certificate in it.
    :ivar native: as given; a test may change it until the next ``reset``.
    :ivar refuse_sampling: refuse temperature, topP and topK from Gemini 4 on, until the next ``reset``.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, str] | Sequence[str] | None = None,
        models: Iterable[str] = (*KNOWN_MODELS, *EMBEDDING_MODELS),
        bind_signatures_to_project: bool = False,
        strict_dummies: bool = False,
        signature_refusal: str = NOT_VALID,
        native: bool = False,
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if keys is None:
            keys = DEFAULT_KEYS
        self.keys = dict(keys) if isinstance(keys, Mapping) else {key: f"project of {key}" for key in keys}
        self.models = tuple(models)
        self.ledger = SignatureLedger(bind_signatures_to_project, strict_dummies, signature_refusal)
        self.native = self._native_at_first = native
        self.refuse_sampling = False
        self.default: Script = _DEFAULT_ANSWER
        self.requests: list[RecordedRequest] = []
        self.total_connections = 0
        self._queue: collections.deque[_Queued] = collections.deque()
        self._changed = threading.Condition()
        self._connections: dict[int, socket.socket] = {}
        self._numbers = itertools.count(1)
        self._stopper, self.stop = socket.socketpair()
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.google = self
        self._server.context = context
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> "FakeGoogle":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> "FakeGoogle":
        """Serve, in a thread of its own, until ``close``."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._server.is_closing = True
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._stopper.close()  # makes `stop` readable, which wakes every pause
        with self._changed:
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.wait_until(lambda: not self._connections)
        self.stop.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without a version."""
        return f"{'http' if self._server.context is None else 'https'}://127.0.0.1:{self.port}"

    def method_url(self, method: str = "generateContent", model: str = "gemini-3-flash-preview") -> str:
        """The URL of a method, with its query if it has one: ``streamGenerateContent?alt=sse``."""
        return f"{self.url}/v1beta/models/{model}:{method}"

    @property
    def lenient_json_schema(self) -> bool:
        """The former name of ``native``."""
        return self.native

    @lenient_json_schema.setter
    def lenient_json_schema(self, value: bool) -> None:
        self.native = value

    def rules(self, key: str) -> Rules:
        """What requests with this key are held against."""
        return Rules(self.ledger, self.keys[key], self.native, self.refuse_sampling)

    # -- script --------------------------------------------------------------------------------------------------------

    def enqueue(
        self, *answers: Script, key: str | None = None, model: str | None = None, method: str | None = None
    ) -> None:
        """Answer the next requests so, in this order; a request takes the first answer in the queue that fits it.

        :param answers: answers, or functions of the recorded request that return one.
        :param key: only for requests with this API key.
        :param model: only for requests to this model.
        :param method: only for this method (``countTokens``, ``embedContent``, ``batchEmbedContents``, ``listModels``,
            ``getModel``, which otherwise answer by themselves, or one of the two that generate); None is either of
            the two.
        """
        with self._changed:
            self._queue.extend(_Queued(answer, key, model, method) for answer in answers)

    @property
    def pending(self) -> int:
        """How many answers wait in the queue."""
        return len(self._queue)

    def next_answer(self, request: RecordedRequest, usual: Answer | None) -> Answer:
        """Take the answer for a request that was found valid.

        :param usual: what to answer if none is queued; None is the default answer.
        """
        with self._changed:
            script = usual or self.default
            for index, queued in enumerate(self._queue):
                if queued.fits(request):
                    script = queued.script
                    del self._queue[index]
                    break
        return script if isinstance(script, Answer) else script(request)

    # -- records -------------------------------------------------------------------------------------------------------

    @property
    def refusals(self) -> list[RecordedRequest]:
        """The requests that the real Google would have refused."""
        return [request for request in self.requests if request.refusal is not None]

    def assert_no_refusals(self) -> None:
        """Fail with the reasons if any request was refused by the rules (scripted errors are no refusals)."""
        found = [f"{each.path}: {each.refusal}" for each in self.refusals]
        found += [f"{each.path}: the script failed: {each.script_error}" for each in self.requests if each.script_error]
        assert not found, "\n".join(found)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[RecordedRequest]:
        """Wait until so many requests have come.

        :raises TimeoutError: they have not.
        """
        self.wait_until(lambda: len(self.requests) >= count, timeout=timeout)
        return self.requests

    def wait_until(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Wait until something about the records holds: ``lambda: google.requests[0].client_closed_at is not None``.

        :raises TimeoutError: it does not come to hold.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"not within {timeout:g} s; {len(self.requests)} requests so far")

    def reset(self) -> None:
        """Forget requests, queue, default answer, switches and signatures; connections stay."""
        with self._changed:
            self.refuse_sampling = False
            self.native = self._native_at_first
            self.requests = []
            self._queue.clear()
            self.default = _DEFAULT_ANSWER
            self.ledger.forget()

    # -- for the handler -----------------------------------------------------------------------------------------------

    def add(self, request: RecordedRequest) -> None:
        """Record a request."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note(self, request: RecordedRequest, **changes: Any) -> None:
        """Change a record and wake whoever waits."""
        with self._changed:
            for name, value in changes.items():
                setattr(request, name, value)
            self._changed.notify_all()

    def opened(self, connection: socket.socket) -> int:
        """Count a connection; returns its number."""
        with self._changed:
            self.total_connections = next(self._numbers)
            self._connections[self.total_connections] = connection
            self._changed.notify_all()
            return self.total_connections

    def closed(self, number: int) -> None:
        """A connection has ended."""
        with self._changed:
            self._connections.pop(number, None)
            self._changed.notify_all()

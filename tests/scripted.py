"""A gateway whose model service answers by script: no network, and a clock that jumps over every wait."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from requests import Response

from agproxy.call import Call
from agproxy.cancel import Cancel
from agproxy.chat import ChatRequest, Event, Finish, Message, TextDelta, TextPart, Tool, Usage
from agproxy.config import Account, Config, Scheduling, Upstream
from agproxy.errors import GatewayError, UpstreamError
from agproxy.gateway import Gateway
from agproxy.store.memory import MemoryStore
from agproxy.transport import Answer, Transport

NOW = 1_781_000_000.0
MODEL = "gemini-3-flash-preview"
HELLO = ChatRequest("gpt-4o", (Message("user", (TextPart("Hello."),)),))
GREETING = [TextDelta("Hi."), Finish("stop", Usage(3, 2))]
CALL = {"functionCall": {"name": "look", "args": {}}}
LOOK = Tool("look", "d", {"type": "object", "properties": {"at": {"type": "string", "format": "date"}}})


class FakeAnswer(Answer):
    """An answer of the model service: payloads, and perhaps an error in their place or after them."""

    def __init__(self, *payloads: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(Response(), Cancel())
        self.status = status
        self.headers = headers or {}
        self.stream = False
        self.closed = False
        self.timeouts: list[float] = []
        self._payloads = payloads

    def chunks(self, before_read: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        for payload in self._payloads:
            before_read()
            if isinstance(payload, Exception):
                raise payload
            encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            yield b"data: " + encoded + b"\r\n\r\n" if self.stream else encoded

    def error_body(self) -> bytes:
        return b"".join(self.chunks())

    def set_timeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def close(self) -> None:
        self.closed = True


class FakeTransport(Transport):
    """Answers each request with the next of ``answers``; notes which account asked, and what."""

    def __init__(self, answers: Iterable[FakeAnswer | UpstreamError]) -> None:
        super().__init__(connect_timeout_s=1.0)
        self.left = list(answers)
        self.given: list[FakeAnswer] = []
        self.tried: list[str] = []
        self.urls: list[str] = []
        self.bodies: list[bytes] = []
        self.lists: dict[str, list[FakeAnswer | UpstreamError]] = {}

    def post(self, url: str, headers: Any, body: bytes, *, timeout_s: float, cancel: Cancel) -> Answer:
        self.tried.append(headers["x-goog-api-key"].removeprefix("secret-"))
        self.urls.append(url)
        self.bodies.append(body)
        answer = self.left.pop(0)
        if isinstance(answer, UpstreamError):
            raise answer
        answer.stream = url.endswith("alt=sse") and answer.status == 200
        self.given.append(answer)
        return answer

    def get(self, url: str, headers: Any, *, timeout_s: float) -> Answer:
        self.urls.append(url)
        answer = self.lists[headers["x-goog-api-key"].removeprefix("secret-")].pop(0)
        if isinstance(answer, UpstreamError):
            raise answer
        return answer


class Waits(threading.Event):
    """Notes how long is waited, and lets the clock jump over it."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if self.is_set():
            return True
        self._world.waits.append(timeout)
        self._world.now += timeout
        self._world.on_wait()
        return self.is_set()


class Spread(float):
    """A wait for an account, equal to those that are up to a tenth, and up to a second, longer."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and -1e-5 <= other - float(self) <= min(1.0, float(self) / 10) + 1e-5

    __hash__ = float.__hash__


class World:
    """A gateway with everything around it made up."""

    def __init__(
        self, *answers: FakeAnswer | UpstreamError, accounts: str | tuple[Account, ...] = "abc", **o: Any
    ) -> None:
        self.now = NOW
        self.waits: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.transport = FakeTransport(answers)
        self.store = MemoryStore(lambda: self.now)
        if isinstance(accounts, str):
            accounts = tuple(Account(name, api_key=f"secret-{name}") for name in accounts)
        sections = {name: o.pop(name) for name in ("fallback",) if name in o}
        upstream = Upstream(**{name: o.pop(name) for name in ("max_attempts", "silence_timeout_s") if name in o})
        self.config = Config(accounts=accounts, upstream=upstream, scheduling=Scheduling(**o), **sections)
        numbers = iter(range(1, 1000))
        self.gateway = Gateway(
            self.config,
            store=self.store,
            transport=self.transport,
            clock=lambda: self.now,
            new_id=lambda: f"id{next(numbers)}",
            used={},
        )

    def call(self, chat: ChatRequest = HELLO, *, stream: bool = True, model: str = MODEL) -> Call:
        call = Call(self.gateway, replace(chat, stream=stream), model=model)
        call.cancel.cancelled = Waits(self)
        return call

    def events(self, chat: ChatRequest = HELLO, *, stream: bool = True, model: str = MODEL) -> list[Event]:
        return list(self.call(chat, stream=stream, model=model).events())

    def failure(self, chat: ChatRequest = HELLO, *, stream: bool = True, model: str = MODEL) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            self.events(chat, stream=stream, model=model)
        return caught.value

    def answer(self, *answers: FakeAnswer | UpstreamError) -> None:
        """More answers, for the next request."""
        self.transport.left += answers

    @property
    def tried(self) -> str:
        return "".join(self.transport.tried)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.transport.bodies]


def chunk(*parts: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}


def said(text: str = "Hi.", **part: Any) -> FakeAnswer:
    return FakeAnswer(chunk({"text": text, **part}, reason="STOP"))


def refused(status: int, message: str = "x", reason: str | None = None, *details: dict[str, Any]) -> FakeAnswer:
    error = {"code": status, "message": message, "details": list(details)}
    return FakeAnswer({"error": error if reason is None else {**error, "status": reason}}, status=status)


def per_minute(delay: str | None = "34.07s") -> FakeAnswer:
    details = [{"retryDelay": delay}] if delay else []
    return refused(429, "Quota exceeded", "RESOURCE_EXHAUSTED", *details)


def per_day() -> FakeAnswer:
    return refused(429, "Quota exceeded", "RESOURCE_EXHAUSTED", {"violations": [{"quotaId": "RequestsPerDay"}]})


def bad_key() -> FakeAnswer:
    return refused(400, "API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"})


def models_page(*names: str, token: str = "") -> FakeAnswer:
    models = [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in names]
    return FakeAnswer({"models": models, "nextPageToken": token})

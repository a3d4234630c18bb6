"""How the speakers that need no SDK reach agproxy: JSON out, and JSON or a strictly read event stream back."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from tests.conversation.turn import JsonObject


class Wire(Protocol):
    """What carries a request to agproxy, and its answer back."""

    def post(self, path: str, body: JsonObject) -> Any:
        """The JSON that answers ``body``."""

    def stream(self, path: str, body: JsonObject) -> bytes:
        """The event stream that answers ``body``."""


class HttpWire:
    """HTTP to a running agproxy. Whatever is not a plain success fails: another status, a field that is ignored.

    :param headers: sent with every request.
    """

    def __init__(self, url: str, **headers: str) -> None:
        self._url = url
        self._headers = headers

    def post(self, path: str, body: JsonObject) -> Any:
        return json.loads(self._post(path, body, "application/json"))

    def stream(self, path: str, body: JsonObject) -> bytes:
        return self._post(path, body, "text/event-stream")

    def _post(self, path: str, body: JsonObject, media_type: str) -> bytes:
        with requests.post(self._url + path, json=body, headers=self._headers, timeout=30) as response:
            assert response.status_code == 200, f"{response.status_code}: {response.text}"
            assert response.headers["Content-Type"].partition(";")[0] == media_type
            ignored = response.headers.get("X-Agproxy-Ignored")
            assert ignored is None, f"agproxy ignored {ignored}"
            return response.content


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream; ``name`` is empty where it has none."""

    name: str
    data: str


def server_events(stream: bytes) -> list[ServerEvent]:
    """The events of a stream, in the one form that every client reads: lines end in LF, and an event is at most one
    ``event`` line and one ``data`` line. Comments (keep-alives) are skipped.

    :raises AssertionError: it has another form, or ends within an event.
    """
    assert b"\r" not in stream, "a CR in the stream"
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == "", "the stream ends within an event"
    events = []
    for block in blocks:
        if block.startswith(":"):
            assert "\n" not in block, f"a comment within an event: {block!r}"
            continue
        *names, data = block.split("\n")  # not splitlines: U+2028 and its like are no ends of lines here
        named = not names or (len(names) == 1 and names[0].startswith("event: "))
        assert named, f"not one event: {block!r}"
        assert data.startswith("data: "), f"not one event: {block!r}"
        events.append(ServerEvent(names[0].removeprefix("event: ") if names else "", data.removeprefix("data: ")))
    return events

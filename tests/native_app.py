"""A client of Gemini's own API, in front of the whole application and the strict fake Google."""

import json
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from agproxy.app import App
from agproxy.config import Account, Config, Scheduling, Server, Store, Upstream
from tests.fake_google import FakeGoogle

Json = Any
OLDER, SIGNING = "gemini-2.5-flash", "gemini-3-flash-preview"
CONTENTS: Json = [{"role": "user", "parts": [{"text": "Hi"}]}]
HELLO: Json = {"contents": CONTENTS}
WHOLE = f"/v1beta/models/{OLDER}:generateContent"
ARRAY = f"/v1beta/models/{OLDER}:streamGenerateContent"
STREAM = f"{ARRAY}?alt=sse"
# The three ways in which a client may ask for the same answer.
ways = pytest.mark.parametrize("path", [WHOLE, STREAM, ARRAY], ids=["whole", "streamed", "array"])


class NativeApp:
    """A client of Gemini, and the agproxy that it talks to.

    :param google: None for the account that is built in.
    :param accounts: the letters of their keys; "ab" are ``test-key-a`` and ``test-key-b``.
    :param models: ``[models]`` of the INI.
    """

    def __init__(
        self,
        google: FakeGoogle | None,
        accounts: str = "a",
        *,
        models: tuple[tuple[str, str], ...] = (),
        server: Server | None = None,
        upstream: Upstream | None = None,
        store_url: str = "memory:",
    ) -> None:
        pool: tuple[Account, ...] = (Account("demo", type="demo"),)
        if google is not None:
            pool = tuple(Account(name, api_key=f"test-key-{name}", base_url=google.url) for name in accounts)
        config = Config(
            accounts=pool,
            models=models,
            server=server or Server(),
            upstream=upstream or Upstream(),
            scheduling=Scheduling(max_wait_s=0),
            store=Store(store_url),
        )
        self._client = Client(App(config))

    def open(self, method: str, path: str, *, remote: str = "127.0.0.1", **options: Any) -> TestResponse:
        """The answer to any request."""
        return self._client.open(
            path,
            method=method,
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": remote},
            buffered=True,
            **options,
        )

    def get(self, path: str, **headers: str) -> TestResponse:
        """The answer to a GET; headers with underscores."""
        return self.open("GET", path, headers=_named(headers))

    def post(self, path: str, body: Json = None, *, data: bytes | None = None, **headers: str) -> TestResponse:
        """The answer to a body, a question unless it is given."""
        sent = json.dumps(HELLO if body is None else body).encode() if data is None else data
        headers.setdefault("Content_Type", "application/json")
        return self.open("POST", path, data=sent, headers=_named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def answers(response: TestResponse) -> list[Json]:
    """What an answer holds, in whichever way it came."""
    assert response.status_code == 200, response.text
    if response.mimetype == "text/event-stream":
        return [json.loads(line.removeprefix("data: ")) for line in response.text.split("\r\n") if line]
    told = json.loads(response.data)
    return told if isinstance(told, list) else [told]


def text_of(response: TestResponse) -> str:
    """The text of an answer."""
    candidates = [candidate for answer in answers(response) for candidate in answer.get("candidates", ())]
    parts = [part for candidate in candidates for part in candidate.get("content", {}).get("parts", ())]
    return "".join(part.get("text", "") for part in parts)


def error_of(response: TestResponse) -> Json:
    """The error object of an answer that failed before it began, which must have Google's shape."""
    assert response.status_code >= 400, response.text
    assert response.mimetype == "application/json"
    assert response.json is not None
    assert response.data.startswith(b'{"error":{"code":')
    error = response.json["error"]
    assert set(response.json) == {"error"}
    assert set(error) <= {"code", "message", "status", "details"}
    assert error["code"] == response.status_code
    assert error["message"]
    return error

"""A client of Anthropic Messages, in front of the whole application."""

from typing import Any

from werkzeug.test import Client, TestResponse

from agproxy.app import App
from agproxy.config import Account, Config, Store, Upstream
from tests.fake_google import FakeGoogle
from tests.messages_stream import Told, checked, checked_error, read

Json = Any
FLASH = "gemini-3-flash-preview"
LOOK: Json = {
    "name": "look",
    "description": "Looks.",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}},
}
HELLO: Json = {"role": "user", "content": "Hi"}
ADAPTIVE: Json = {"type": "adaptive"}


class MessagesApp:
    """A client of Messages, and the agproxy that it talks to.

    :param accounts: the letters of their keys; "ab" are ``test-key-a`` and ``test-key-b``.
    :param settings: more of the configuration.
    """

    def __init__(self, google: FakeGoogle, accounts: str = "a", *, ping_s: float = 10.0, **settings: Any) -> None:
        pool = tuple(Account(name, api_key=f"test-key-{name}", base_url=google.url) for name in accounts)
        fixed: Any = {"accounts": pool, "upstream": Upstream(ping_s=ping_s), "store": Store("memory:")}
        self._client = Client(App(Config(**{**fixed, **settings})))

    def ask(self, method: str, path: str, *, buffered: bool = True, **others: Any) -> TestResponse:
        """The answer to any request."""
        here = {"REMOTE_ADDR": "127.0.0.1"}
        others.setdefault("base_url", "http://127.0.0.1:8045")
        return self._client.open(path, method=method, environ_overrides=here, buffered=buffered, **others)

    def post(
        self, path: str = "/v1/messages", *, headers: dict[str, str] | None = None, buffered: bool = True, **body: Json
    ) -> TestResponse:
        """The answer to one question to Gemini 3 Flash, unless ``body`` says otherwise."""
        whole = {"model": FLASH, "max_tokens": 4096, "messages": [HELLO], **body}
        return self.ask("POST", path, json=whole, headers=headers, buffered=buffered)

    def count(self, **body: Json) -> TestResponse:
        """The answer to the question how many tokens that is; there is no ``max_tokens`` in it."""
        whole = {"model": FLASH, "messages": [HELLO], **body}
        return self.ask("POST", "/v1/messages/count_tokens?beta=true", json=whole)

    def told(self, **body: Json) -> Told:
        """A stream, strictly read."""
        response = self.post(**{**body, "stream": True})
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        return read(response.data)

    def answer(self, *, stream: bool, **body: Json) -> Json:
        """The message of a whole or a streamed answer, which a client cannot tell."""
        if stream:
            told = self.told(**body)
            assert told.error is None, told.error
            return told.message
        response = self.post(**body)
        assert response.status_code == 200, response.text
        assert response.mimetype == "application/json"
        return checked(response.json)


def error(response: TestResponse) -> tuple[int, str]:
    """Status and type of an error in Anthropic's form, which names its request as the header does."""
    assert response.status_code >= 400, response.text
    assert response.mimetype == "application/json"
    assert response.json is not None
    assert set(response.json) == {"type", "error", "request_id"}
    assert response.json["request_id"] == response.headers["request-id"] == response.headers["X-Request-Id"]
    return response.status_code, checked_error(response.json)["type"]


def ignored(response: TestResponse) -> list[str]:
    """The fields that were not honoured."""
    assert response.status_code == 200, response.text
    return [name for name in response.headers.get("X-Agproxy-Ignored", "").split(", ") if name]

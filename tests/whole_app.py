"""The whole application over WSGI in front of the strict fake Google: all of agproxy, without a server process."""

import json
from typing import Any

from werkzeug.test import Client, TestResponse

from agproxy import sse
from agproxy.app import App
from agproxy.config import Account, Config, Store, Upstream
from tests.fake_google import FakeGoogle, RecordedRequest
from tests.protocols.answers import accumulated, validated

Json = Any
HELLO: Json = [{"role": "user", "content": "Hi"}]


class WholeApp:
    """A client of Chat Completions, and the agproxy that it talks to.

    :param accounts: the letters of their keys; "ab" are ``test-key-a`` and ``test-key-b``.
    :param store_url: where it keeps its state, as in the INI.
    """

    def __init__(
        self, google: FakeGoogle, accounts: str = "a", *, ping_s: float = 10.0, store_url: str = "memory:"
    ) -> None:
        pool = tuple(Account(name, api_key=f"test-key-{name}", base_url=google.url) for name in accounts)
        self._client = Client(App(Config(accounts=pool, upstream=Upstream(ping_s=ping_s), store=Store(store_url))))

    def post(self, *, buffered: bool = True, **body: Json) -> TestResponse:
        """The answer to one question to Gemini 3 Flash, unless ``body`` says otherwise.

        :param buffered: wait for all of it, and not for its head only.
        """
        return self._client.post(
            "/v1/chat/completions",
            json={"model": "gemini-3-flash-preview", "messages": HELLO, **body},
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
            buffered=buffered,
        )

    def error(self, **body: Json) -> Json:
        """The error object of an answer that failed before it began, with its ``status``."""
        response = self.post(**body)
        assert response.status_code >= 400, response.text
        assert response.json is not None
        return {"status": response.status_code, **response.json["error"]}

    def chunks(self, **body: Json) -> list[Json]:
        """The chunks of a stream that ends well, each of OpenAI's type."""
        response = self.post(**body, stream=True)
        assert response.status_code == 200, response.text
        *chunks, last = sse.decode([response.data])
        assert last == b"[DONE]"
        decoded = [json.loads(chunk) for chunk in chunks]
        for chunk in decoded:
            validated(chunk)
        return decoded

    def broken(self, **body: Json) -> tuple[list[Json], Json]:
        """The chunks of a stream that breaks off, and the error object that ends it."""
        response = self.post(**body, stream=True)
        assert response.status_code == 200, response.text
        *chunks, last = [json.loads(event) for event in sse.decode([response.data])]
        return chunks, last["error"]

    def answer(self, *, stream: bool, **body: Json) -> Json:
        """``message``, ``finish_reason`` and ``usage`` of a whole or a streamed answer, which a client cannot tell."""
        if not stream:
            response = self.post(**body)
            assert response.status_code == 200, response.text
            assert response.json is not None
            (choice,) = response.json["choices"]
            return {**choice, "usage": response.json["usage"]}
        chunks = self.chunks(**body, stream_options={"include_usage": True})
        (choice,) = accumulated(chunks).values()
        return {**choice, "usage": chunks[-1]["usage"]}


# The history of a client, and what becomes of it.


def call(call_id: str, at: str = "x", *, name: str = "look", signature: str | None = None) -> Json:
    """A call of the past."""
    extra = {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps({"at": at})},
        **extra,
    }


def called(*calls: Json, content: str | None = None) -> Json:
    """The assistant's message with these calls."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: str, content: Json = "done") -> Json:
    """The result of a call."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def contents(request: RecordedRequest) -> list[tuple[str, Json]]:
    """The turns that Gemini received, as (role, parts)."""
    return [(content["role"], content["parts"]) for content in request.body["contents"]]

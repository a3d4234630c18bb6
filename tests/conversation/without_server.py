"""The pure half of agproxy alone: a protocol's module and Gemini's, one after the other, with the fake's rules between.

It is the wire to such an agproxy and the Gemini behind it in one. There is no gateway, and so no store of signatures.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from agproxy.chat import ChatRequest, Event, ReplyMeta
from agproxy.fold import fold
from agproxy.upstreams import gemini
from tests.conversation.turn import JsonObject
from tests.fake_google import Answer, RecordedRequest, Rules, validate
from tests.fake_google.families import family_of
from tests.fake_google.render import Context, render, to_json
from tests.fake_google.render import fold as one_body
from tests.fake_google.signatures import SignatureLedger


class WithoutServer:
    """Answers a speaker of ``protocol``.

    :param model: the Gemini model that answers.
    """

    def __init__(self, protocol: ModuleType, *, model: str) -> None:
        self.requests: list[RecordedRequest] = []
        self._protocol = protocol
        self._model = model
        self._answers: deque[Answer] = deque()
        self._rules = Rules(SignatureLedger(strict_dummies=True))
        self._numbers = itertools.count(1)

    def enqueue(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    def post(self, path: str, body: JsonObject) -> Any:
        chat, meta = self._decoded(body)
        assert not chat.stream
        return json.loads(json.dumps(self._protocol.encode_reply(fold(self._events(chat)), meta)))

    def stream(self, path: str, body: JsonObject) -> bytes:
        chat, meta = self._decoded(body)
        assert chat.stream
        return b"".join(self._protocol.encode_stream(self._events(chat), meta))

    def _decoded(self, body: JsonObject) -> tuple[ChatRequest, ReplyMeta]:
        chat: ChatRequest = self._protocol.decode_request(json.loads(json.dumps(body)))
        assert not chat.ignored, chat.ignored
        reply_id = f"{self._protocol.ID_PREFIX}{next(self._numbers)}"
        meta = ReplyMeta(
            id=reply_id,
            created=1,
            model=chat.model,
            include_usage=chat.include_usage,
            echo=chat.echo,
            conclude=_conclude,
        )
        return chat, meta

    def _events(self, chat: ChatRequest) -> Iterator[Event]:
        encoded = gemini.encode_request(chat, model=self._model)
        assert not encoded.ignored, encoded.ignored
        validate(self._model, encoded.body, self._rules)
        context = Context(self._model, family_of(self._model), self._rules.ledger, self._rules.project, prompt_tokens=1)
        chunks = render(self._answers.popleft(), context)
        if not chat.stream:
            chunks = [one_body(chunks)]
        method = "streamGenerateContent" if chat.stream else "generateContent"
        request = RecordedRequest("POST", "", "", {}, encoded.body, time=0, connection=0, method=method)
        request.model, request.body, request.sent = self._model, json.loads(encoded.body), chunks
        self.requests.append(request)
        return gemini.decode_stream(
            map(to_json, chunks),
            original_names=encoded.original_names,
            new_id=lambda: f"call_{next(self._numbers)}",
        )


def _conclude(response: JsonObject) -> None:
    """What the handler of Responses does at the end of an answer."""
    if response["status"] == "completed":
        response["completed_at"] = 2

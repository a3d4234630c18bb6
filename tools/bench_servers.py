"""What the benchmark compares agproxy with: two WSGI applications that do less on the same stack.

``forwarder`` passes bytes through, by the requests library as most people use it. ``floor`` does what every gateway
between two protocols must do, in the cheapest way these libraries offer, and nothing more: it checks nothing, maps
text only, makes one attempt, sends no pings, watches no client and logs nothing. What agproxy costs beyond the floor
is the price of all that.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from werkzeug import Request, Response

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_READ_BYTES = 65536
_TIMEOUT_S = (10.0, 300.0)
_API_KEY = "bench"
_ROLES = {"user": "user", "tool": "user", "assistant": "model"}
_FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"}


def forwarder(upstream: str) -> Wsgi:
    """The WSGI application that forwards to ``upstream`` (``http://host:port``)."""
    session = requests.Session()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/healthz":
            start_response("200 OK", [("Content-Length", "2")])
            return [b"{}"]
        answer = session.post(
            f"{upstream}{path}?{environ['QUERY_STRING']}",
            data=environ["wsgi.input"].read(),
            headers={"Content-Type": environ["CONTENT_TYPE"], "x-goog-api-key": _API_KEY},
            stream=True,
            timeout=_TIMEOUT_S,
        )
        passed = [(name, answer.headers[name]) for name in ("Content-Type", "Content-Length") if name in answer.headers]
        start_response(f"{answer.status_code} {answer.reason}", passed)
        return _pieces(answer)

    return app


def floor(upstream: str) -> Wsgi:
    """The WSGI application that answers Chat Completions with the text of Gemini at ``upstream``."""
    adapter = HTTPAdapter()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/healthz":
            return Response("{}", mimetype="application/json")(environ, start_response)
        chat = json.loads(request.get_data())
        method = "streamGenerateContent?alt=sse" if chat.get("stream") else "generateContent"
        url = f"{upstream}/v1beta/models/{chat['model']}:{method}"
        answer = adapter.send(_prepared(url, json.dumps(_to_gemini(chat)).encode()), stream=True, timeout=_TIMEOUT_S)
        if chat.get("stream"):
            response = Response(_chunks(answer, chat["model"]), mimetype="text/event-stream")
        else:
            reply = _to_openai(json.loads(answer.raw.read(decode_content=True)), chat["model"])
            response = Response(json.dumps(reply), mimetype="application/json")
        return response(environ, start_response)

    return app


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes; its end gives the connection back."""
    raw = answer.raw
    while piece := raw.read1(_READ_BYTES, decode_content=True):
        yield piece


def _prepared(url: str, body: bytes) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.method = "POST"
    request.url = url
    request.headers = CaseInsensitiveDict(
        {"Content-Type": "application/json", "Content-Length": str(len(body)), "x-goog-api-key": _API_KEY}
    )
    request.body = body
    request.hooks = default_hooks()
    return request


def _to_gemini(chat: dict[str, Any]) -> dict[str, Any]:
    contents = []
    system = []
    for message in chat["messages"]:
        parts = [{"text": text} for text in _texts(message.get("content"))]
        if message["role"] in _ROLES:
            contents.append({"role": _ROLES[message["role"]], "parts": parts})
        else:
            system += parts
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    return body


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if part["type"] == "text"]


def _to_openai(answer: dict[str, Any], model: str) -> dict[str, Any]:
    candidate = answer["candidates"][0]
    text = "".join(part["text"] for part in candidate["content"]["parts"])
    usage = answer["usageMetadata"]
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": _FINISH_REASONS[candidate["finishReason"]],
            }
        ],
        "usage": {
            "prompt_tokens": usage["promptTokenCount"],
            "completion_tokens": usage["candidatesTokenCount"],
            "total_tokens": usage["totalTokenCount"],
        },
    }


def _chunks(answer: requests.Response, model: str) -> Iterator[bytes]:
    """The answer's events as Chat Completions chunks."""
    head = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    unfinished = b""
    for piece in _pieces(answer):
        *events, unfinished = (unfinished + piece).split(b"\r\n\r\n")
        for event in events:
            candidate = json.loads(event.removeprefix(b"data: "))["candidates"][0]
            text = "".join(part["text"] for part in candidate["content"]["parts"])
            finish = _FINISH_REASONS.get(candidate.get("finishReason", ""))
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
            yield b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"

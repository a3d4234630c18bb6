"""Which request is answered how: path, query, key, headers, and then the rules of the method.

Sources: https://ai.google.dev/api/models, /api/generate-content, /api/tokens, /api/embeddings; keys only in
``x-goog-api-key`` (https://ai.google.dev/gemini-api/docs/api-key): Google also takes ``?key=``, but a key in a URL ends
up in logs. Only ``/v1beta``: the gateway calls no other version, whatever its clients call.
"""

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fake_google.embeddings import check_batch, check_embed, embed, embed_batch
from tests.fake_google.models import describe, supports
from tests.fake_google.protojson import canonical, strict_json
from tests.fake_google.record import RecordedRequest
from tests.fake_google.refusal import (
    JsonObject,
    Refusal,
    api_key_invalid_refusal,
    model_not_found_refusal,
    unregistered_refusal,
)
from tests.fake_google.render import count_tokens
from tests.fake_google.script import Answer, counted
from tests.fake_google.validate import Rules, check_count, check_request

if TYPE_CHECKING:
    from tests.fake_google.server import FakeGoogle

_METHOD_PATH = re.compile(
    r"/v1beta/models/([^/:]+):(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)"
)
_MODEL_PATH = re.compile(r"/v1beta/models/([^/:]+)")
_QUERY = {
    "generateContent": {"alt", "$alt"},
    "streamGenerateContent": {"alt", "$alt"},
    "countTokens": {"alt", "$alt"},
    "embedContent": {"alt", "$alt"},
    "batchEmbedContents": {"alt", "$alt"},
    "listModels": {"alt", "$alt", "pageSize", "pageToken"},
    "getModel": {"alt", "$alt"},
}
_NOT_FOUND_PAGE = (
    b"<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n"
    b"<p><b>404.</b> <ins>That\xe2\x80\x99s an error.</ins>\n<p>The requested URL was not found on this server."
)


def check(google: "FakeGoogle", request: RecordedRequest, query: dict[str, str]) -> Answer | None:
    """The answer to a request, or None for a good one of the generating methods: the script says what they answer.

    :raises Refusal: what Google would answer.
    """
    if not _route(request):
        request.refusal = Refusal("no such path", http_status=404, why=f"{request.verb} {request.path}")
        return Answer(http_status=404, body=_NOT_FOUND_PAGE, content_type="text/html; charset=UTF-8")
    _check_query(request, query)
    _check_key(google, request)
    if request.verb == "POST":
        return _post(google, request)
    if request.method == "listModels":
        return Answer(body=_list(google, query))
    if request.model not in google.models:
        raise model_not_found_refusal(request.model, "generateContent")
    return Answer(body=describe(request.model))


def _route(request: RecordedRequest) -> bool:
    if request.verb == "GET" and request.path == "/v1beta/models":
        request.method = "listModels"
        return True
    match = (_METHOD_PATH if request.verb == "POST" else _MODEL_PATH).fullmatch(request.path)
    if match is None or request.verb not in ("GET", "POST"):
        return False
    request.model = match[1]
    request.method = match[2] if request.verb == "POST" else "getModel"
    return True


def _check_query(request: RecordedRequest, query: dict[str, str]) -> None:
    if "key" in query or "access_token" in query:
        raise Refusal("API key not valid. Please pass a valid API key.", why="a credential in the query string")
    for name in query:
        if name not in _QUERY[request.method]:
            raise Refusal(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message."
            )
    for name in ("alt", "$alt"):
        # `$alt` is the twin of `alt` in Google's system parameters (https://cloud.google.com/apis/docs/system-parameters).
        if query.get(name, "json") not in ("json", "sse"):
            raise Refusal(f'Invalid value "{query[name]}" for query parameter {name}')
        if query.get(name) == "sse" and request.method != "streamGenerateContent":
            raise Refusal("alt=sse is only supported for streaming methods.")


def _check_key(google: "FakeGoogle", request: RecordedRequest) -> None:
    if "authorization" in request.headers:
        raise Refusal("API key not valid. Please pass a valid API key.", why="an Authorization header")
    if not request.key:
        raise unregistered_refusal()
    if request.key not in google.keys:
        raise api_key_invalid_refusal()


def _post(google: "FakeGoogle", request: RecordedRequest) -> Answer | None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal("Invalid JSON payload received. Expected application/json.", why=f"Content-Type {content_type!r}")
    if request.model not in google.models or not supports(request.model, request.method):
        raise model_not_found_refusal(request.model, request.method)
    request.body = strict_json(request.raw)
    rules = google.rules(request.key or "")
    request.canonical = canonical(request.body, method=request.method, native=rules.native)
    return _METHODS[request.method](request, rules)


def _generate(request: RecordedRequest, rules: Rules) -> None:
    request.dummies = check_request(request.model, request.canonical, rules).dummies


def _count(request: RecordedRequest, rules: Rules) -> Answer:
    request.canonical = check_count(request.model, request.canonical, rules)
    total = count_tokens(request.text)
    return counted(total, promptTokensDetails=[{"modality": "TEXT", "tokenCount": total}])


def _embed(request: RecordedRequest, _: Rules) -> Answer:
    check_embed(request.model, request.canonical)
    return embed(request.model, request.canonical)


def _embed_batch(request: RecordedRequest, _: Rules) -> Answer:
    check_batch(request.model, request.canonical)
    return embed_batch(request.model, request.canonical)


_METHODS: dict[str, Callable[[RecordedRequest, Rules], Answer | None]] = {
    "generateContent": _generate,
    "streamGenerateContent": _generate,
    "countTokens": _count,
    "embedContent": _embed,
    "batchEmbedContents": _embed_batch,
}


def _list(google: "FakeGoogle", query: dict[str, str]) -> JsonObject:
    size_text = query.get("pageSize", "50")
    if not re.fullmatch(r"\d{1,9}", size_text):
        raise Refusal(f"Invalid value at 'page_size' (TYPE_INT32), \"{size_text}\"")
    size = min(int(size_text) or 50, 1000)
    start = _page_start(query.get("pageToken", ""), len(google.models))
    page: JsonObject = {"models": [describe(model) for model in google.models[start : start + size]]}
    if start + size < len(google.models):
        page["nextPageToken"] = base64.urlsafe_b64encode(f"page:{start + size}".encode()).decode()
    return page


def _page_start(token: str, total: int) -> int:
    if not token:
        return 0
    try:
        kind, _, start = base64.urlsafe_b64decode(token).decode().partition(":")
    except ValueError as error:
        raise Refusal("Page token is not valid.") from error
    if kind != "page" or not start.isdigit() or int(start) >= total:
        raise Refusal("Page token is not valid.")
    return int(start)

"""The Gemini API, called with an API key.

Wire: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/models
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from agproxy.errors import BadRequest, UpstreamCut
from agproxy.jsonwire import decode_json, encode_json
from agproxy.upstreams.gemini_errors import (
    decode_error,
    is_about_signature,
    is_of_the_model,
    refused_setting,
    schema_faults,
)
from agproxy.upstreams.gemini_native import encode_native, native_endpoint, relay_stream, relay_whole
from agproxy.upstreams.gemini_reply import decode_stream
from agproxy.upstreams.gemini_request import EncodedRequest, encode_request

__all__ = [
    "EncodedRequest",
    "encode_request",
    "decode_stream",
    "decode_error",
    "is_about_signature",
    "is_of_the_model",
    "refused_setting",
    "schema_faults",
    "endpoint",
    "count_endpoint",
    "encode_count",
    "decode_count",
    "estimate",
    "models_endpoint",
    "headers",
    "decode_models",
    "encode_native",
    "native_endpoint",
    "relay_stream",
    "relay_whole",
]


def endpoint(base_url: str, model: str, *, stream: bool) -> str:
    """The URL to post to. Without ``alt=sse`` Google streams one JSON array."""
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"{base_url}/v1beta/models/{quote(model, safe='@')}:{method}"


def count_endpoint(base_url: str, model: str) -> str:
    """The URL that counts the tokens of a request (https://ai.google.dev/api/tokens)."""
    return f"{base_url}/v1beta/models/{quote(model, safe='@')}:countTokens"


def encode_count(body: bytes, model: str) -> bytes:
    """The body that asks for the tokens of a whole request, instructions and tools included (CountTokensRequest)."""
    return b'{"generateContentRequest":{"model":' + encode_json(f"models/{model}") + b"," + body[1:] + b"}"


def decode_count(payload: bytes) -> int:
    """How many tokens that are.

    :raises UpstreamCut: when it is no such answer.
    """
    try:
        count = decode_json(payload)["totalTokens"]
    except (BadRequest, KeyError, TypeError) as error:
        raise UpstreamCut("Gemini's count of tokens is not of the form that its API describes") from error
    if not isinstance(count, int):
        raise UpstreamCut("Gemini's count of tokens is no number")
    return count


_INLINE = re.compile(rb'"data":"[A-Za-z0-9+/=]+"')
_FILE_TOKENS = 258  # of an image up to 384 pixels wide, or of a page: https://ai.google.dev/gemini-api/docs/tokens


def estimate(body: bytes) -> int:
    """About how many tokens a request has, where nobody can be asked: "a token is equivalent to about 4 characters"."""
    text, files = _INLINE.subn(b"", body)
    return max(1, len(text.decode("utf-8", "replace")) // 4 + files * _FILE_TOKENS)


def models_endpoint(base_url: str, page_token: str = "") -> str:
    """The URL of one page of the list of models."""
    page = f"&pageToken={quote(page_token, safe='')}" if page_token else ""
    return f"{base_url}/v1beta/models?pageSize=1000{page}"


def headers(api_key: str) -> dict[str, str]:
    """The key goes in a header only: URLs end up in logs."""
    return {"x-goog-api-key": api_key}


def decode_models(page: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The models on one page, as the service describes them, and the token of the next page (empty on the last).

    :raises UpstreamCut: when it is no such page.
    """
    models = page.get("models") or []
    if not isinstance(models, list):
        raise UpstreamCut("Gemini's list of models is no list")
    found = [
        model for model in models if isinstance(model, dict) and isinstance(name := model.get("name"), str) and name
    ]
    token = page.get("nextPageToken")
    return found, token if isinstance(token, str) else ""

"""URLs, headers and the list of models of the Gemini API."""

import json
from typing import Any

import pytest

from agproxy.errors import UpstreamCut
from agproxy.upstreams import UPSTREAMS, gemini

BASE = "https://generativelanguage.googleapis.com"


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_every_upstream_has_the_same_interface(kind: str) -> None:
    names = ["encode_request", "decode_stream", "encode_count", "decode_count", "estimate"]
    names += ["decode_error", "is_about_signature", "is_of_the_model", "refused_setting", "schema_faults"]
    names += ["encode_native", "relay_stream", "relay_whole"]
    for name in names:
        assert callable(getattr(UPSTREAMS[kind], name))


def test_endpoint() -> None:
    assert gemini.endpoint(BASE, "gemini-2.5-flash", stream=False) == (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
    )


def test_endpoint_of_a_stream_asks_for_sse() -> None:
    assert gemini.endpoint("http://127.0.0.1:9", "gemini-flash-latest", stream=True) == (
        "http://127.0.0.1:9/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse"
    )


@pytest.mark.parametrize(
    ("model", "quoted"),
    [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("a:b", "a%3Ab"), ("a b", "a%20b"), ("gemini@001", "gemini@001")],
)
def test_model_name_cannot_change_the_path(model: str, quoted: str) -> None:
    assert gemini.endpoint(BASE, model, stream=False) == f"{BASE}/v1beta/models/{quoted}:generateContent"


def test_count_asks_for_the_whole_request() -> None:
    assert gemini.count_endpoint(BASE, "a/b") == f"{BASE}/v1beta/models/a%2Fb:countTokens"
    body = json.loads(gemini.encode_count(b'{"contents":[{"role":"user"}],"tools":[]}', "gemini-pro-latest"))
    inner = {"model": "models/gemini-pro-latest", "contents": [{"role": "user"}], "tools": []}
    assert body == {"generateContentRequest": inner}


def test_count_is_read() -> None:
    assert gemini.decode_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"totalTokens": "31"}', b'{"totalTokens": null}'])
def test_what_is_no_count_is_cut(payload: bytes) -> None:
    with pytest.raises(UpstreamCut):
        gemini.decode_count(payload)


def test_key_goes_in_the_header_only() -> None:
    assert gemini.headers("secret") == {"x-goog-api-key": "secret"}


def test_models_endpoint() -> None:
    assert gemini.models_endpoint(BASE) == f"{BASE}/v1beta/models?pageSize=1000"
    assert gemini.models_endpoint(BASE, "a+b/c=") == f"{BASE}/v1beta/models?pageSize=1000&pageToken=a%2Bb%2Fc%3D"


def test_models_are_kept_as_the_service_describes_them() -> None:
    models = [
        {"name": "models/gemini-2.5-flash", "supportedGenerationMethods": ["generateContent"], "inputTokenLimit": 9},
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
        {"name": "gemini-3-flash-preview", "newField": {"a": [1]}},
    ]
    assert gemini.decode_models({"models": models, "nextPageToken": "next"}) == (models, "next")


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"models": None, "nextPageToken": None},
        {"models": [None, "x", {}, {"name": None}, {"name": ""}, {"name": 5}, {"displayName": "a"}]},
        {"models": [], "nextPageToken": 5},
    ],
)
def test_odd_lists_of_models_are_taken(page: dict[str, Any]) -> None:
    assert gemini.decode_models(page) == ([], "")


@pytest.mark.parametrize("models", [{"a": 1}, "x", 5, True])
def test_list_of_models_that_is_none_is_told(models: Any) -> None:
    with pytest.raises(UpstreamCut):
        gemini.decode_models({"models": models})

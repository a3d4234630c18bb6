"""Which models there are, in the words of whoever asks: three shapes at one path, told apart by headers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import ModelInfo
from google.genai import models as genai_models
from openai.types import Model

from tests.fake_google import EMBEDDING_MODELS, KNOWN_MODELS, FakeGoogle, raw, unavailable
from tests.native_app import Json, NativeApp, error_of

RULES = (
    ("mine", "gemini-2.5-flash"),
    ("claude-mine", "models/gemini-3-flash-preview"),
    ("gemini-2.5-pro", "gemini-3-flash-preview"),
    ("wild*", "gemini-2.5-flash"),
)
ANTHROPIC: dict[str, Any] = {"Anthropic_Version": "2026-10-21"}
GEMINI: dict[str, Any] = {"X_Goog_Api_Key": "x"}


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> NativeApp:
    return NativeApp(google, "ab", models=RULES)


def got(app: NativeApp, path: str, **headers: str) -> Json:
    response = app.get(path, **headers)
    assert (response.status_code, response.mimetype) == (200, "application/json"), response.text
    return response.json


def shape(body: Json) -> str:
    """In whose words a list of models, or a model, is."""
    if "models" in body or body.get("name", "").startswith("models/"):
        return "gemini"
    return "anthropic" if "has_more" in body or body.get("type") == "model" else "openai"


# Who gets what.


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o"])
@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, "openai"),
        ("", {"Authorization": "Bearer x"}, "openai"),
        ("", {"X_Api_Key": "x"}, "openai"),
        ("", {"User_Agent": "OpenAI/Python 3.54.0"}, "openai"),
        ("", ANTHROPIC, "anthropic"),
        ("", {"Anthropic_Version": "2023-06-01", "X_Api_Key": "x"}, "anthropic"),
        ("", {"User_Agent": "claude-cli/2.1.330 (external, cli)"}, "anthropic"),
        ("", GEMINI, "gemini"),
        ("", {"X_Goog_Api_Client": "google-genai-sdk/3.4.0"}, "gemini"),
        ("", {"User_Agent": "GeminiCLI-tui/0.61.0/x (linux; x64; terminal)"}, "gemini"),
        ("?key=x", {}, "gemini"),
        ("?key=x", ANTHROPIC, "anthropic"),
        ("", {**ANTHROPIC, **GEMINI}, "anthropic"),
    ],
)
def test_shape_is_told_by_headers_and_key(app: NativeApp, path: str, query: str, headers: Json, expected: str) -> None:
    assert shape(got(app, path + query, **headers)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1beta/models", "gemini"),
        ("/v1beta/models/gpt-4o", "gemini"),
        ("/v1beta/models/models/gpt-4o", "gemini"),
        ("/v1beta/openai/models", "openai"),
        ("/v1beta/openai/models/gpt-4o", "openai"),
        ("/v1/models/claude", "anthropic"),
    ],
)
@pytest.mark.parametrize("headers", [{}, ANTHROPIC, GEMINI])
def test_shape_of_other_paths_is_always_the_same(app: NativeApp, path: str, expected: str, headers: Json) -> None:
    assert shape(got(app, path, **headers)) == expected


@pytest.mark.parametrize(
    ("headers", "begins"),
    [({}, b'{"error":{"message":'), (ANTHROPIC, b'{"type":"error",'), (GEMINI, b'{"error":{"code":404,')],
)
def test_error_has_the_shape_of_the_list(app: NativeApp, headers: Json, begins: bytes) -> None:
    response = app.get("/v1/models/no-such-model", **headers)
    assert response.status_code == 404
    assert response.data.startswith(begins)


# What is in it.


def test_openai_list(app: NativeApp) -> None:
    models = [Model.model_validate(model, strict=True) for model in got(app, "/v1/models")["data"]]
    owners = {model.id: model.owned_by for model in models}
    assert len(owners) == len(models)
    assert {name for name in owners if owners[name] == "google"} >= set(KNOWN_MODELS) - {"gemini-2.5-pro"}
    assert not set(EMBEDDING_MODELS) & set(owners)
    assert owners["mine"] == owners["gpt-4o"] == owners["gemini-2.5-pro"] == "agproxy"
    assert "wild*" not in owners


def test_anthropic_list_comes_in_pages_with_claudes_names_first(app: NativeApp) -> None:
    page = got(app, "/v1/models?limit=7", **ANTHROPIC)
    ids: list[str] = []
    while True:
        for model in page["data"]:
            ids.append(ModelInfo.model_validate_json(json.dumps(model), strict=True).id)
        if not page["has_more"]:
            break
        page = got(app, f"/v1/models?limit=7&after_id={page['last_id']}", **ANTHROPIC)
    assert set(ids) == {model["id"] for model in got(app, "/v1/models")["data"]}
    assert len(ids) == len(set(ids))
    claudes = [name for name in ids if name.startswith("claude")]
    assert "claude-mine" in claudes
    assert ids[: len(claudes)] == claudes
    assert got(app, "/v1/models/claude?limit=1000")["data"] == got(app, "/v1/models?limit=1000", **ANTHROPIC)["data"]
    response = app.get("/v1/models?limit=0", **ANTHROPIC)
    assert response.status_code == 400
    assert (response.json or {})["error"]["type"] == "invalid_request_error"


def test_gemini_list_comes_in_pages_with_all_that_google_has(app: NativeApp) -> None:
    found: list[Json] = []
    page: Json = {"nextPageToken": ""}
    while "nextPageToken" in page:
        page = got(app, f"/v1beta/models?pageSize=4&pageToken={page['nextPageToken']}")
        found += page["models"]
    names = [model["name"] for model in found]
    assert len(names) == len(set(names))
    assert {f"models/{name}" for name in (*KNOWN_MODELS, *EMBEDDING_MODELS, "mine", "gpt-4o")} <= set(names)
    assert found == got(app, "/v1/models?pageSize=1000", **GEMINI)["models"]
    for model in found:
        assert genai_models._Model_from_mldev(model)["name"] == model["name"]
    error = error_of(app.get("/v1beta/models?pageSize=x"))
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")


def test_google_describes_its_models_itself(app: NativeApp, google: FakeGoogle) -> None:
    one = got(app, "/v1beta/models/gemini-embedding-001")
    assert google.requests[0].method == "listModels"
    assert one in [model for request in google.requests for model in request.sent["models"]]
    assert got(app, "/v1beta/models/models/gemini-embedding-001") == one
    assert app.get("/v1beta/models/gpt-4o").headers["X-Mapped-Model"] == "gemini-flash-latest"


def test_model_that_upstream_alone_knows_and_that_does_not_chat_is_there(google: FakeGoogle) -> None:
    listed = {"name": "models/vectors-9", "version": "9", "supportedGenerationMethods": ["embedContent"]}
    google.enqueue(raw(json.dumps({"models": [listed]}).encode(), content_type="application/json"), method="listModels")
    app = NativeApp(google)
    assert got(app, "/v1beta/models/vectors-9") == listed
    assert got(app, "/v1/models/vectors-9")["owned_by"] == "google"


@pytest.mark.parametrize("name", ["mine", "gemini-2.5-pro"])
def test_name_that_stands_for_another_model_is_described_alike_wherever_it_stands(app: NativeApp, name: str) -> None:
    one = got(app, f"/v1beta/models/{name}")
    target = "gemini-2.5-flash" if name == "mine" else "gemini-3-flash-preview"
    assert (one["displayName"], one["description"]) == (name, f"Answered by {target}.")
    assert one["inputTokenLimit"] == got(app, f"/v1beta/models/{target}")["inputTokenLimit"]
    assert one in got(app, "/v1beta/models?pageSize=1000")["models"]
    assert got(app, f"/v1/models/{name}") in got(app, "/v1/models")["data"]
    assert got(app, f"/v1/models/{name}", **ANTHROPIC) in got(app, "/v1/models?limit=1000", **ANTHROPIC)["data"]


# Google is asked once.


def test_google_is_asked_once_an_account(app: NativeApp, google: FakeGoogle) -> None:
    for headers in ({}, ANTHROPIC, GEMINI):
        got(app, "/v1/models", **headers)
        got(app, "/v1/models/gpt-4o", **headers)
    assert sorted(request.key or "" for request in google.requests) == ["test-key-a", "test-key-b"]


@pytest.mark.parametrize("headers", [{}, ANTHROPIC, GEMINI])
def test_names_that_agproxy_knows_are_there_where_google_is_not(google: FakeGoogle, headers: Json) -> None:
    google.enqueue(unavailable(), raw(b"<html>"), method="listModels")
    app = NativeApp(google, "ab", models=RULES)
    text = json.dumps(got(app, "/v1/models?limit=1000&pageSize=1000", **headers))
    assert '"mine"' in text or '"models/mine"' in text
    assert "gemini-3.1-pro-preview" not in text
    assert got(app, "/v1/models/claude-opus-5-5", **headers)

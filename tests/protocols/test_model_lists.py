"""Lists of models in the words of each protocol, as its own SDK reads them."""

from typing import Any

import pytest
from anthropic.types import ModelInfo
from google.genai import models as genai_models
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Model

from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.models import Listed
from agproxy.protocols import anthropic_messages, gemini, openai_chat

Json = Any
FLASH: Json = {
    "name": "models/gemini-2.5-flash",
    "version": "001",
    "displayName": "Gemini 2.5 Flash",
    "description": "Fast.",
    "inputTokenLimit": 1048576,
    "outputTokenLimit": 65536,
    "supportedGenerationMethods": ["generateContent", "countTokens"],
    "temperature": 1,
    "thinking": True,
}
EMBEDDING: Json = {
    "name": "models/gemini-embedding-001",
    "version": "001",
    "displayName": "Gemini Embedding",
    "supportedGenerationMethods": ["embedContent"],
}
OWN = Listed("gemini-2.5-flash", "google", "gemini-2.5-flash", FLASH)
CLAUDE = Listed("claude-opus-5-5", "agproxy", "gemini-2.5-flash", FLASH)
UNKNOWN = Listed("gemini-pro-latest", "google", "gemini-pro-latest", {})
VECTORS = Listed("gemini-embedding-001", "google", "gemini-embedding-001", EMBEDDING)
ALL = (OWN, VECTORS, CLAUDE, UNKNOWN)


def many(count: int) -> list[Listed]:
    return [Listed(f"gemini-{number}-x", "google", f"gemini-{number}-x", {}) for number in range(count)]


# What a model can be called with.


@pytest.mark.parametrize(
    ("details", "methods", "chats"),
    [
        (FLASH, ("generateContent", "countTokens"), True),
        (EMBEDDING, ("embedContent",), False),
        ({}, ("generateContent", "countTokens"), True),
        ({"name": "models/x"}, (), False),
        ({"name": "models/x", "supportedGenerationMethods": None}, (), False),
        ({"name": "models/x", "supportedGenerationMethods": "generateContent"}, (), False),
    ],
)
def test_methods_of_a_model(details: Json, methods: tuple[str, ...], chats: bool) -> None:
    listed = Listed("x", "google", "x", details)
    assert (listed.methods, listed.chats) == (methods, chats)


# OpenAI's.


def test_openai_sdk_reads_the_models_that_chat() -> None:
    listed = openai_chat.encode_models(ALL, {"limit": "1", "pageSize": "x"})
    assert (listed["object"], set(listed)) == ("list", {"object", "data"})
    models = [Model.model_validate(model, strict=True) for model in listed["data"]]
    assert [(model.id, model.owned_by) for model in models] == [
        ("gemini-2.5-flash", "google"),
        ("claude-opus-5-5", "agproxy"),
        ("gemini-pro-latest", "google"),
    ]
    assert openai_chat.encode_model(VECTORS)["id"] == "gemini-embedding-001"


# Anthropic's.


def anthropics(listed: Any, **query: str) -> tuple[list[str], bool]:
    """The names on a page, whose every model is of the SDK's type, and whether there are more."""
    page = anthropic_messages.encode_models(listed, query)
    assert set(page) == {"data", "has_more", "first_id", "last_id"}
    for model in page["data"]:
        ModelInfo.model_validate_json(encode_json(model), strict=True)
    names = [model["id"] for model in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((names[0], names[-1]) if names else (None, None))
    return names, page["has_more"]


def test_anthropic_sdk_reads_the_models_that_chat_with_claudes_names_first() -> None:
    assert anthropics(ALL) == (["claude-opus-5-5", "gemini-2.5-flash", "gemini-pro-latest"], False)


def test_anthropic_model_tells_its_limits_and_its_name() -> None:
    known = ModelInfo.model_validate(anthropic_messages.encode_model(OWN))
    assert (known.display_name, known.max_input_tokens, known.max_tokens) == ("Gemini 2.5 Flash", 1048576, 65536)
    mapped = ModelInfo.model_validate(anthropic_messages.encode_model(CLAUDE))
    assert (mapped.id, mapped.display_name, mapped.max_tokens) == ("claude-opus-5-5", "claude-opus-5-5", 65536)
    unknown = ModelInfo.model_validate(anthropic_messages.encode_model(UNKNOWN))
    assert (unknown.display_name, unknown.max_input_tokens) == ("gemini-pro-latest", None)


def test_anthropic_page_has_twenty_models_unless_the_client_says_otherwise() -> None:
    listed = many(25)
    names = [model.name for model in listed]
    assert anthropics(listed) == (names[:20], True)
    assert anthropics(listed, limit="") == (names[:20], True)
    assert anthropics(listed, limit="24") == (names[:24], True)
    assert anthropics(listed, limit="25") == (names, False)
    assert anthropics(listed, limit="1000") == (names, False)


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ({"after_id": "gemini-3-x"}, [4], False),
        ({"after_id": "gemini-4-x"}, [], False),
        ({"after_id": "gemini-0-x", "limit": "2"}, [1, 2], True),
        ({"after_id": "gemini-2-x", "limit": "2"}, [3, 4], False),
        ({"before_id": "gemini-2-x"}, [0, 1], False),
        ({"before_id": "gemini-0-x"}, [], False),
        ({"before_id": "gemini-4-x", "limit": "2"}, [2, 3], True),
        ({"before_id": "gemini-2-x", "limit": "2"}, [0, 1], False),
        ({"after_id": "gemini-0-x", "before_id": "gemini-4-x"}, [1, 2, 3], False),
        ({"after_id": "gemini-0-x", "before_id": "gemini-4-x", "limit": "2"}, [1, 2], True),
        ({"after_id": "gemini-3-x", "before_id": "gemini-1-x"}, [], False),
        ({"after_id": "", "before_id": ""}, [0, 1, 2, 3, 4], False),
    ],
)
def test_anthropic_page_lies_where_the_client_says(query: dict[str, str], names: list[int], more: bool) -> None:
    assert anthropics(many(5), **query) == ([f"gemini-{number}-x" for number in names], more)


@given(st.integers(0, 30), st.integers(1, 12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_anthropic_pages_hold_every_model_once_from_either_end(count: int, limit: int) -> None:
    listed = many(count)
    forth: list[str] = []
    more = True
    while more:
        names, more = anthropics(listed, limit=str(limit), after_id=forth[-1] if forth else "")
        forth += names
        assert names or not count
    assert forth == [model.name for model in listed]
    if not listed:
        return
    back, more = [forth[-1]], True
    while more:
        names, more = anthropics(listed, limit=str(limit), before_id=back[0])
        back = names + back
    assert back == forth


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"limit": limit}, "limit") for limit in ("0", "1001", "-1", "x", "1.0", " 1", "9" * 5000, "²")),
        ({"after_id": "nobody"}, "after_id"),
        ({"before_id": "gemini-embedding-001"}, "before_id"),
        ({"after_id": "x" * 5000}, "after_id"),
    ],
)
def test_anthropic_page_that_cannot_be_is_refused(query: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        anthropic_messages.encode_models(ALL, query)
    assert caught.value.param == param
    assert len(caught.value.message) < 200


# Gemini's.


def genais(listed: Any, **query: str) -> tuple[list[types.Model], str | None]:
    """The models on a page as the SDK reads them, and the token of the next."""
    page = gemini.encode_models(listed, query)
    told = genai_models._ListModelsResponse_from_mldev(page)
    read = types.ListModelsResponse._from_response(response=told, kwargs={})
    return read.models or [], read.next_page_token


def test_gemini_sdk_reads_all_models_as_google_describes_them() -> None:
    models, token = genais(ALL)
    assert [model.name for model in models] == [f"models/{each.name}" for each in ALL]
    assert token is None
    assert "nextPageToken" not in gemini.encode_models(ALL, {})
    assert models[0].input_token_limit == 1048576
    assert models[1].supported_actions == ["embedContent"]


def test_gemini_model_is_googles_own_object() -> None:
    assert gemini.encode_model(OWN) == FLASH


def test_gemini_model_that_stands_for_another_has_its_own_name() -> None:
    assert gemini.encode_model(CLAUDE) == {
        **FLASH,
        "name": "models/claude-opus-5-5",
        "displayName": "claude-opus-5-5",
        "description": "Answered by gemini-2.5-flash.",
    }


def test_gemini_model_that_nobody_describes_is_taken_to_answer() -> None:
    assert gemini.encode_model(UNKNOWN) == {
        "name": "models/gemini-pro-latest",
        "version": "001",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


@pytest.mark.parametrize(("size", "expected"), [("", 50), ("0", 50), ("7", 7), ("1000", 1000), ("5000", 1000)])
def test_gemini_page_has_fifty_models_unless_the_client_says_otherwise(size: str, expected: int) -> None:
    models, token = genais(many(1200), pageSize=size)
    assert (len(models), token) == (expected, str(expected))
    assert len(genais(many(1200))[0]) == 50


@given(st.integers(0, 30), st.integers(1, 12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_gemini_pages_hold_every_model_once(count: int, size: int) -> None:
    found: list[Any] = []
    token: str | None = ""
    while token is not None:
        models, token = genais(many(count), pageSize=str(size), pageToken=token)
        found += [model.name for model in models]
        assert models or not count  # no page is there for nothing
    assert found == [f"models/{model.name}" for model in many(count)]


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 5000, "²", " 1"])
@pytest.mark.parametrize("param", ["pageSize", "pageToken"])
def test_gemini_page_that_cannot_be_is_refused(param: str, value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        gemini.encode_models(ALL, {param: value})
    assert caught.value.param == param
    assert len(caught.value.message) < 200


def test_gemini_page_beyond_the_last_is_empty() -> None:
    assert genais(ALL, pageToken="999999999") == ([], None)

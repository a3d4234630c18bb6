"""Whatever comes, there is a request, or a 400 that names its field."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import Thinking
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_chat_request import decode_request
from tests.chat_bodies import JSON, PATHS, WORDS, Json, changed, full_body, older_body, paths

USER = {"role": "user", "content": "Hello"}


def decodes_or_refuses(body: Json) -> None:
    try:
        chat = decode_request(body)
    except BadRequest as error:
        refused = (error.status, bool(error.param), bool(error.message))
        assert refused == (400, True, True)
        assert len(error.message) < 1000  # noqa: PT017 - many inputs are served
    else:
        encode_json([part.arguments for entry in chat.messages for part in entry.parts if hasattr(part, "arguments")])
        assert all(isinstance(name, str) for name in chat.ignored)


def test_full_body_is_served() -> None:
    chat = decode_request(full_body())
    assert len(chat.messages) == 8
    assert len(chat.messages[2].parts) == 9
    assert chat.ignored == (
        *("metadata", "messages[].name", "image_url.detail"),
        *("web_search_options.search_context_size", "web_search_options.user_location", "max_tokens"),
    )


def test_older_body_is_served() -> None:
    chat = decode_request(older_body())
    assert (chat.older_calls, chat.ignored) == (True, ())
    assert chat.thinking == Thinking(budget_tokens=1024, show=False)


@pytest.mark.parametrize("body", [full_body, older_body])
def test_request_is_not_changed_by_decoding_it(body: Callable[[], Json]) -> None:
    given_body = body()
    decode_request(given_body)
    assert given_body == body()


@given(st.dictionaries(WORDS | st.text(), JSON, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_served_or_refused(body: Json) -> None:
    decodes_or_refuses(body)


@given(st.dictionaries(WORDS | st.text(), JSON, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_fields_beside_a_message_are_served_or_refused(fields: Json) -> None:
    decodes_or_refuses({**fields, "model": "m", "messages": [USER]})


@given(st.lists(st.dictionaries(WORDS, JSON, max_size=5) | JSON, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_messages_are_served_or_refused(messages: Json) -> None:
    decodes_or_refuses({"model": "m", "messages": messages})


@given(st.dictionaries(WORDS, JSON, max_size=4), st.sampled_from(["image_url", "input_audio", "file", "input_file"]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_part_is_served_or_refused(part: Json, kind: str) -> None:
    decodes_or_refuses({"model": "m", "messages": [{"role": "user", "content": [{**part, "type": kind}]}]})


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), min_size=1, max_size=2))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_served_or_refused(changes: Json) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    decodes_or_refuses(body)


ODD_VALUES: list[Json] = [
    ...,
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "x",
    "\ud800",
    "a:",
    [],
    [[]],
    [None],
    {},
    {"a": {}},
]


@pytest.mark.parametrize("body", [full_body(), older_body()], ids=["full", "older"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_body_changed_everywhere_in_turn_is_served_or_refused(value: Json, body: Json) -> None:
    for path in paths(body):
        if path:
            decodes_or_refuses(changed(body, path, value))

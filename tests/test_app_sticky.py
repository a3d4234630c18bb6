"""The whole application over several accounts: which conversations stay with one, and what moves none."""

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fake_google import FakeGoogle, quota_per_day, quota_per_minute
from tests.native_app import OLDER, NativeApp

Json = Any
NATIVE, CHAT, MESSAGES = f"/v1beta/models/{OLDER}:generateContent", "/v1/chat/completions", "/v1/messages"
VECTORS = "/v1beta/models/gemini-embedding-001"
PLENTY = 4096


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(native=True, keys={f"test-key-{letter}": letter for letter in "abcd"}) as google:
        yield google
        google.assert_no_refusals()


def keys(google: FakeGoogle) -> str:
    """The letters of the accounts that asked since this was last looked at."""
    letters = "".join((request.key or "?")[-1] for request in google.requests)
    google.requests.clear()
    return letters


def asked(app: NativeApp, path: str, body: Json) -> None:
    response = app.post(path, body)
    assert response.status_code == 200, response.text


# Embeddings.


def piece(number: int) -> Json:
    return {"content": {"parts": [{"text": f"Text {number}"}]}}


@pytest.mark.parametrize("method", ["embedContent", "batchEmbedContents"])
@pytest.mark.parametrize("is_same", [False, True])
def test_embeddings_go_to_all_accounts(google: FakeGoogle, method: str, is_same: bool) -> None:
    app = NativeApp(google, "abcd")
    for number in range(20):
        one = piece(0 if is_same else number)
        body = {"requests": [{"model": "models/gemini-embedding-001", **one}]} if method[0] == "b" else one
        asked(app, f"{VECTORS}:{method}", body)
    assert Counter(keys(google)) == dict.fromkeys("abcd", 5)


def test_embeddings_of_a_client_with_a_session_go_to_all_accounts_and_leave_it_where_it_is(google: FakeGoogle) -> None:
    app = NativeApp(google, "ab")
    named: Any = {"X_Session_Id": "one"}
    app.post(NATIVE, **named)
    for number in range(4):
        app.post(f"{VECTORS}:embedContent", piece(number), **named)
        app.post(NATIVE, **named)
    found = keys(google)
    assert found[::2] == "aaaaa"
    assert set(found[1::2]) == {"b"}  # the one that was used the longest ago


# Files.


def picture(number: int) -> str:
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes([number] * 4)).decode()


def native(number: int) -> Json:
    return {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": picture(number)}}]}]}


def chat(number: int) -> Json:
    url = f"data:image/png;base64,{picture(number)}"
    return {
        "model": OLDER,
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}],
    }


def messages(number: int) -> Json:
    source = {"type": "base64", "media_type": "image/png", "data": picture(number)}
    said = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    return {"model": OLDER, "max_tokens": PLENTY, "messages": said}


@pytest.mark.parametrize(("path", "body"), [(NATIVE, native), (CHAT, chat), (MESSAGES, messages)])
def test_conversations_that_begin_with_different_files_go_to_all_accounts(
    google: FakeGoogle, path: str, body: Callable[[int], Json]
) -> None:
    app = NativeApp(google, "abcd")
    for number in range(8):
        asked(app, path, body(number))
    assert keys(google) == "abcdabcd"
    for number in range(8):
        asked(app, path, body(number))
    assert keys(google) == "abcdabcd"
    for _ in range(3):
        asked(app, path, body(5))
    assert keys(google) == "bbb"


# Counts of tokens.


def native_words(words: str) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": words}]}]}


def counted_within(words: str) -> Json:
    return {"generateContentRequest": {"model": f"models/{OLDER}", **native_words(words)}}


def answered(words: str) -> Json:
    return {**to_count(words), "max_tokens": PLENTY}


def to_count(words: str) -> Json:
    return {"model": OLDER, "messages": [{"role": "user", "content": words}]}


def response(words: str) -> Json:
    return {"model": OLDER, "input": words}


each_count = pytest.mark.parametrize(
    ("path", "body", "count_path", "count_body"),
    [
        (NATIVE, native_words, f"/v1beta/models/{OLDER}:countTokens", native_words),
        (NATIVE, native_words, f"/v1beta/models/{OLDER}:countTokens", counted_within),
        (MESSAGES, answered, "/v1/messages/count_tokens", to_count),
        ("/v1/responses", response, "/v1/responses/input_tokens", response),
    ],
    ids=["native", "native within", "messages", "responses"],
)
Body = Callable[[str], Json]


@each_count
@pytest.mark.parametrize("failure", [quota_per_minute("30s"), quota_per_day()], ids=["minute", "day"])
def test_count_that_another_account_answers_does_not_move_the_conversation(
    google: FakeGoogle, path: str, body: Body, count_path: str, count_body: Body, failure: Json
) -> None:
    app = NativeApp(google, "ab")
    for _ in range(2):
        asked(app, path, body("one"))
    assert keys(google) == "aa"
    google.enqueue(failure, method="countTokens")
    asked(app, count_path, count_body("one"))
    assert keys(google) == "ab"
    for _ in range(2):
        asked(app, path, body("one"))
    assert keys(google) == "aa"


@each_count
def test_count_is_asked_of_the_conversations_own_account(
    google: FakeGoogle, path: str, body: Body, count_path: str, count_body: Body
) -> None:
    app = NativeApp(google, "ab")
    for words in ("one", "two"):
        asked(app, path, body(words))
    for words in ("two", "two", "one", "one"):
        asked(app, count_path, count_body(words))
    assert keys(google) == "abbbaa"


@each_count
def test_count_of_a_conversation_to_come_binds_it_to_nobody(
    google: FakeGoogle, path: str, body: Body, count_path: str, count_body: Body
) -> None:
    app = NativeApp(google, "ab")
    asked(app, count_path, count_body("one"))
    asked(app, path, body("one"))
    assert keys(google) == "ab"

"""What tells conversations apart: what they begin with, files as well as words."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from agproxy import conversations
from agproxy.chat import ChatRequest, Message, TextPart
from agproxy.protocols import anthropic_messages, gemini, openai_chat

Json = Any
# A file by its number: what stands for it in a body.
Opening = Callable[[int], Json]


def picture(number: int) -> str:
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes([number] * 4)).decode()


def link(number: int) -> str:
    return f"https://example.com/{number}.png"


NATIVE: dict[str, Opening] = {
    "inlineData": lambda n: {"inlineData": {"mimeType": "image/png", "data": picture(n)}},
    "inline_data": lambda n: {"inline_data": {"mime_type": "image/png", "data": picture(n)}},
    "fileData": lambda n: {"fileData": {"mimeType": "image/png", "fileUri": link(n)}},
    "file_data": lambda n: {"file_data": {"mime_type": "image/png", "file_uri": link(n)}},
    "file_data, mixed": lambda n: {"file_data": {"mimeType": "image/png", "fileUri": link(n)}},
}
CHAT: dict[str, Opening] = {
    "chat data": lambda n: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture(n)}"}},
    "chat link": lambda n: {"type": "image_url", "image_url": {"url": link(n)}},
}
MESSAGES: dict[str, Opening] = {
    "image data": lambda n: {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": picture(n)},
    },
    "image link": lambda n: {"type": "image", "source": {"type": "url", "url": link(n)}},
    "document link": lambda n: {"type": "document", "source": {"type": "url", "url": f"https://example.com/{n}.pdf"}},
}


def key(kind: str, *numbers: int, later: bool = False, words: str = "") -> str:
    """The key of a conversation that begins with these files, and with ``words`` after them.

    :param later: it has gone on for a turn since.
    """
    if opening := NATIVE.get(kind):
        said = [{"text": words}] if words else []
        contents = [{"role": "user", "parts": [*map(opening, numbers), *said]}]
        if later:
            contents += [{"role": role, "parts": [{"text": "More."}]} for role in ("model", "user")]
        return conversations.key(gemini.decode_request({"contents": contents}, model="m", stream=False))
    opening = CHAT.get(kind) or MESSAGES[kind]
    blocks = [*map(opening, numbers), *([{"type": "text", "text": words}] if words else [])]
    messages: list[Json] = [{"role": "user", "content": blocks}]
    if later:
        messages += [{"role": role, "content": "More."} for role in ("assistant", "user")]
    decode = openai_chat.decode_request if kind in CHAT else anthropic_messages.decode_request
    return conversations.key(decode({"model": "m", "messages": messages}))


each_kind = pytest.mark.parametrize("kind", [*NATIVE, *CHAT, *MESSAGES])


@each_kind
@pytest.mark.parametrize("words", ["", "What is this?"])
def test_conversations_with_other_files_are_others(kind: str, words: str) -> None:
    keys = [key(kind, *numbers, words=words) for numbers in ((), (1,), (2,), (1, 2), (2, 1), (1, 1))]
    assert len(set(keys)) == len(keys)


@each_kind
@pytest.mark.parametrize("words", ["", "What is this?"])
def test_conversation_with_the_same_file_stays_the_same(kind: str, words: str) -> None:
    assert key(kind, 1, words=words) == key(kind, 1, words=words) == key(kind, 1, words=words, later=True)


@each_kind
def test_words_beside_a_file_count(kind: str) -> None:
    assert len({key(kind, 1, words=words) for words in ("", "a", "b")}) == 3


@pytest.mark.parametrize("place", [0, 5_000, 9_999])
def test_long_files_are_told_by_their_length_and_ends(place: int) -> None:
    def of(content: bytearray) -> str:
        part = {"inlineData": {"mimeType": "audio/wav", "data": base64.b64encode(content).decode()}}
        return conversations.key(gemini.decode_request({"contents": [{"parts": [part]}]}, model="m", stream=False))

    first, second = bytearray(10_000), bytearray(10_000)
    second[place] = 1
    assert (of(first) == of(second)) is (place == 5_000)
    assert of(first) != of(bytearray(10_003))


def test_name_that_the_client_gives_counts_more_than_what_is_said() -> None:
    def of(words: str, session: str | None) -> str:
        return conversations.key(ChatRequest("m", (Message("user", (TextPart(words),)),), session=session))

    assert of("a", "one") == of("b", "one")
    assert len({of("a", "one"), of("a", "two"), of("a", None), of("one", None)}) == 4

"""What tells one conversation from others, so that it can stay with one account."""

import hashlib

from agproxy.chat import AttachmentPart, ChatRequest, Part, TextPart

_ENDS = 1024  # characters of a file that tell it from others, at either end


def key(chat: ChatRequest) -> str:
    """A short name for the conversation: of the client's word, else of its instructions and first user message."""
    digest = hashlib.blake2b(digest_size=16)
    if chat.session:
        digest.update(b"session:" + chat.session.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
    for message in chat.messages:
        if message.role in ("system", "user"):
            for part in message.parts:
                digest.update(_words(part))
            if message.role == "user":
                break
    return digest.hexdigest()


def is_begun(chat: ChatRequest) -> bool:
    """Whether it is known to be the same as others of its key: named by the client, or answered before."""
    return chat.session is not None or any(message.role == "assistant" for message in chat.messages)


def _words(part: Part) -> bytes:
    if isinstance(part, TextPart):
        return part.text.encode("utf-8", "surrogatepass")
    if isinstance(part, AttachmentPart):
        held = f"\0{len(part.base64)}:{part.base64[:_ENDS]}{part.base64[-_ENDS:]}{part.url}"
        return held.encode("utf-8", "surrogatepass")
    return b"\0"

"""What tells one conversation from others, so that it can stay with one account."""

import hashlib

from agproxy.chat import ChatRequest, TextPart


def key(chat: ChatRequest) -> str:
    """A short name for the conversation: of the client's word, else of its instructions and first user message."""
    digest = hashlib.blake2b(digest_size=16)
    if chat.session:
        digest.update(b"session:" + chat.session.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
    for message in chat.messages:
        if message.role in ("system", "user"):
            for part in message.parts:
                digest.update(part.text.encode("utf-8", "surrogatepass") if isinstance(part, TextPart) else b"\0")
            if message.role == "user":
                break
    return digest.hexdigest()

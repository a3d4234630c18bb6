"""What Claude Code asks that is no part of a conversation; recognised by its words, for nothing else tells it."""

import re
from collections.abc import Sequence

from agproxy.chat import ChatRequest, Message, TextPart
from agproxy.protocols.fields import Body

# Titles and short summaries (2.0 and 2.1).
_BACKGROUND = re.compile(
    r"You are naming a coding session|[Ss]ummarize this coding conversation in under \d+ characters"
    r"|[Aa]nalyze if this message indicates a new conversation topic|generate a concise,? [\w, -]{0,40}title"
    r"|Write a \d+-\d+ word title"
)
_SUMMARIST = "You are a helpful AI assistant tasked with summarizing conversations"
# The conversation in short, to go on with: /compact.
_SUMMING_UP = re.compile(
    r"CRITICAL: Respond with TEXT ONLY\. Do NOT call any tools\."
    r"|Your task is to create a detailed summary of (?:the|this) conversation"
)
_IDENTITY = "You are Claude Code"
# Of 2.1.330, and of older ones: user_<hash>_account_<id>_session_<id>.
_USER_ID = re.compile(
    r'^\{.*"device_id".*"account_uuid".*"session_id"|^user_[0-9a-f]+_account_[0-9a-f-]*_session_[0-9a-f-]+$'
)
# Of versions before 2.1, and of those that are logged in at Anthropic.
_PINGS = ("warmup", "quota")


def is_background(chat: ChatRequest) -> bool:
    """Whether this is one of Claude Code's calls for a title or a summary, and no part of the conversation."""
    instructions = _texts(chat.messages, "system")
    # Beside tools the instructions may quote anything: what the user's files and commits say.
    if any(text.startswith(_SUMMARIST) for text in instructions):
        return True
    if not chat.tools and any(_BACKGROUND.search(text) for text in instructions):
        return True
    said = _texts(chat.messages[-1:], "user")
    return bool(said) and (
        _SUMMING_UP.match(said[-1]) is not None or (not chat.tools and _BACKGROUND.search(said[-1]) is not None)
    )


def is_ping(chat: ChatRequest) -> bool:
    """Whether this is one of Claude Code's calls that only warm a connection up, or look whether there is quota."""
    spoken = [message for message in chat.messages if message.role != "system"]
    said = _texts(spoken, "user")
    if len(spoken) != 1 or len(said) != 1 or said[0].strip().lower() not in _PINGS:
        return False
    return said[0].strip().lower() == "warmup" or chat.sampling.max_output_tokens == 1


def is_its_own(body: Body) -> bool:
    """Whether a body comes from Claude Code, or from an agent of its: they say so in ``system`` and ``metadata``."""
    system, metadata = body.get("system"), body.get("metadata")
    blocks = system if isinstance(system, list) else [system]
    texts = [block.get("text") if isinstance(block, dict) else block for block in blocks]
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    return any(isinstance(text, str) and text.startswith(_IDENTITY) for text in texts) or (
        isinstance(user_id, str) and _USER_ID.search(user_id) is not None
    )


def _texts(messages: Sequence[Message], role: str) -> list[str]:
    return [
        part.text
        for message in messages
        if message.role == role
        for part in message.parts
        if isinstance(part, TextPart)
    ]

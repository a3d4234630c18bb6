"""Thought signatures of calls, kept for the clients that do not send them back, or that change what was signed.

Gemini wants the signature of a call again with the history, on the same call. What carries it to most clients and back,
they drop. Claude Code (2.1.330) changes the input of its calls before it sends them back: it fills in defaults, strips
blanks and the ``cd`` before a command. So the arguments are kept, too.
"""

import json
import re
from dataclasses import replace
from typing import Any

from agproxy.chat import ChatRequest, Event, Message, Metadata, Part, ToolCallDelta, ToolCallPart, ToolCallStart
from agproxy.store import Store

_TTL_S = 24 * 3600.0
_MAX_ARGUMENTS = 65536  # characters; longer ones are taken as the client sends them
_BLANKS = re.compile(r"[\s\\]+")


class Keeper:
    """Keeps the signatures of one answer's calls, as its events go by."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: dict[int, tuple[ToolCallStart, str]] = {}

    def note(self, event: Event) -> None:
        """See an event. A call is kept once it has begun, and again with its arguments."""
        if isinstance(event, ToolCallStart) and event.provider_metadata:
            self._calls[event.index] = event, ""
            keep(event.id, event.name, event.provider_metadata, None, self._store)
        elif isinstance(event, ToolCallDelta) and event.index in self._calls:
            start, text = self._calls[event.index]
            text += event.arguments
            self._calls[event.index] = start, text
            if len(text) <= _MAX_ARGUMENTS and start.provider_metadata and (arguments := _object(text)) is not None:
                keep(start.id, start.name, start.provider_metadata, arguments, self._store)


def keep(id_: str, name: str, metadata: Metadata | None, arguments: dict[str, Any] | None, store: Store) -> None:
    """Keep what is known of a call.

    :param metadata: None = its signature was refused.
    :param arguments: as the model made them; None = not known.
    """
    kept = {"name": name, "metadata": metadata, "arguments": arguments}
    store.put(f"signature:{id_}", kept, ttl_s=_TTL_S)


def refused(chat: ChatRequest, store: Store) -> None:
    """Remember that Gemini has refused a signature of this request, so that none of them is sent to it again."""
    for message in chat.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart) and part.provider_metadata:
                keep(part.id, part.name, None, None, store)


def restored(chat: ChatRequest, store: Store) -> ChatRequest:
    """The request with the thought signatures of past calls that its client did not keep.

    A call that a client has only put into another form is sent as the model made it; one that it has changed loses its
    signature, which would be refused.
    """

    def signed(part: Part) -> Part:
        if not isinstance(part, ToolCallPart):
            return part
        kept = store.get(f"signature:{part.id}")
        if not kept or kept["name"] != part.name:
            return part
        metadata = kept["metadata"] and (part.provider_metadata or kept["metadata"])
        made = kept.get("arguments")
        if made is None or made == part.arguments:
            return replace(part, provider_metadata=metadata)
        if _is_alike(made, part.arguments):
            return replace(part, arguments=made, provider_metadata=metadata)
        return replace(part, provider_metadata=None)

    if not any(message.role == "assistant" for message in chat.messages):
        return chat
    messages = tuple(
        Message(message.role, tuple(map(signed, message.parts))) if message.role == "assistant" else message
        for message in chat.messages
    )
    return replace(chat, messages=messages)


def _object(text: str) -> dict[str, Any] | None:
    if not text.endswith("}"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_alike(made: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Whether the arguments sent are those made, but for blanks, backslashes, defaults and what stood before a text."""
    added = [value for name, value in sent.items() if name not in made]
    lost = [value for name, value in made.items() if name not in sent]
    return not any((*added, *lost)) and all(
        made[name] == value or _bare(made[name]).endswith(_bare(value) or " ")
        for name, value in sent.items()
        if name in made
    )


def _bare(value: object) -> str:
    return _BLANKS.sub("", value if isinstance(value, str) else json.dumps(value))

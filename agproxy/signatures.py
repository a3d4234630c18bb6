"""Thought signatures of calls, kept for the clients that do not send them back.

Gemini wants the signature of a call again with the history; what carries it to most clients and back, they drop.
"""

from dataclasses import replace

from agproxy.chat import ChatRequest, Message, Part, ToolCallPart, ToolCallStart
from agproxy.store import Store

_TTL_S = 24 * 3600.0


def keep(call: ToolCallStart, store: Store) -> None:
    """Keep the signature of a call, if it has one."""
    if call.provider_metadata:
        kept = {"name": call.name, "metadata": call.provider_metadata}
        store.put(f"signature:{call.id}", kept, ttl_s=_TTL_S)


def restored(chat: ChatRequest, store: Store) -> ChatRequest:
    """The request with the thought signatures of past calls that its client did not keep."""

    def signed(part: Part) -> Part:
        if isinstance(part, ToolCallPart) and not part.provider_metadata:
            kept = store.get(f"signature:{part.id}")
            if kept and kept["name"] == part.name:
                return replace(part, provider_metadata=kept["metadata"])
        return part

    if not any(message.role == "assistant" for message in chat.messages):
        return chat
    messages = tuple(
        Message(message.role, tuple(map(signed, message.parts))) if message.role == "assistant" else message
        for message in chat.messages
    )
    return replace(chat, messages=messages)

"""Thought signatures of calls, kept for the clients that do not send them back, or that change what was signed.

Gemini wants the signature of a call again with the history, on the same call. What carries it to most clients and back,
they drop. Claude Code (2.1.330) changes the input of its calls before it sends them back: it fills in defaults, strips
blanks and the ``cd`` before a command. So for such a client the arguments are kept, too, and for others what tells them
from others.

The ids of calls are the service's or the client's, and may be those of another conversation's calls: what is kept
counts for a call only if it shows that it is about that one.

Models of another family do not take a signature, so it goes to none of them. Whether an account of another project
takes it, only Google knows: it is sent, and a refusal of it is mended as any other.
"""

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from agproxy.chat import ChatRequest, Event, Message, Metadata, Part, ToolCallDelta, ToolCallPart, ToolCallStart
from agproxy.jsonwire import encode_json
from agproxy.store import Store

_TTL_S = 24 * 3600.0
_MAX_ARGUMENTS = 65536  # bytes; what is longer is not kept
_MAX_REFUSED = 200  # signatures of one conversation
_BLANKS_AT_END = re.compile(r"[ \t\r]+(?=\n|$)")
_BACKSLASHES = re.compile(r"\\{2,}")
_CD = re.compile(r"cd [^&|;\n]+ && ")


class Keeper:
    """Keeps the signatures of one answer's calls, as its events go by.

    :param session: the conversation's key.
    :param project: the project whose account answers.
    :param family: the family of the model that answers; see :func:`agproxy.models.family`.
    :param with_arguments: see ``reshapes_calls`` of :class:`~agproxy.chat.ChatRequest`.
    """

    def __init__(self, store: Store, session: str, *, project: str, family: str, with_arguments: bool) -> None:
        self._store = store
        self._tags = {"session": session, "project": project, "family": family}
        self._with_arguments = with_arguments
        self._calls: dict[int, tuple[ToolCallStart, str]] = {}

    def note(self, event: Event) -> None:
        """See an event. A call is kept once it has begun, and again with its arguments."""
        if isinstance(event, ToolCallStart) and event.provider_metadata:
            self._calls[event.index] = event, ""
            self._keep(event, None)
        elif isinstance(event, ToolCallDelta) and event.index in self._calls:
            start, text = self._calls[event.index]
            text += event.arguments
            self._calls[event.index] = start, text
            if (arguments := _object(text)) is not None:
                self._keep(start, arguments)

    def _keep(self, call: ToolCallStart, arguments: dict[str, Any] | None) -> None:
        kept: dict[str, Any] = {"name": call.name, "metadata": call.provider_metadata, **self._tags}
        if arguments is not None:
            kept["digest"] = _digest(arguments)
            if self._with_arguments and len(encode_json(arguments)) <= _MAX_ARGUMENTS:
                kept["arguments"] = arguments
        self._store.put(f"signature:{call.id}", kept, ttl_s=_TTL_S)


def refused(chat: ChatRequest, store: Store, session: str) -> None:
    """Remember that Gemini has refused a signature of this request, so that it gets none of them again."""
    found = [_mark(call.provider_metadata) for call in _calls(chat) if call.provider_metadata]
    known = store.get(f"bad_signatures:{session}") or []
    marks = list(dict.fromkeys([*known, *found]))[-_MAX_REFUSED:]
    store.put(f"bad_signatures:{session}", marks, ttl_s=_TTL_S)


def restored(chat: ChatRequest, store: Store, session: str, *, family: str) -> ChatRequest:
    """The request with the thought signatures of past calls that its client did not keep.

    A call that a client has only put into another form is sent as the model made it; one that it has changed loses its
    signature, which would be refused.

    :param session: the conversation's key.
    :param family: the family of the model that is asked.
    """
    if not _calls(chat):
        return chat
    bad = frozenset(store.get(f"bad_signatures:{session}") or ())

    def signed(part: Part) -> Part:
        if not isinstance(part, ToolCallPart):
            return part
        kept = store.get(f"signature:{part.id}")
        found = part if not kept or kept["name"] != part.name else _signed(part, kept, session, family)
        if bad and found.provider_metadata and _mark(found.provider_metadata) in bad:
            found = replace(found, provider_metadata=None)
        return found

    messages = tuple(
        Message(message.role, tuple(map(signed, message.parts))) if message.role == "assistant" else message
        for message in chat.messages
    )
    return replace(chat, messages=messages)


def _signed(call: ToolCallPart, kept: dict[str, Any], session: str, family: str) -> ToolCallPart:
    """The call with what is kept for its id, if that is about it."""
    metadata: Metadata | None = kept["metadata"]
    digest, made = kept.get("digest"), kept.get("arguments")
    if call.provider_metadata not in (None, metadata):
        return call  # it is another of this id
    if kept.get("family", family) != family:
        return replace(call, provider_metadata=None)
    if digest == _digest(call.arguments):
        return replace(call, provider_metadata=metadata)
    if call.provider_metadata is None and kept.get("session") != session:
        return call
    if digest is None:
        return replace(call, provider_metadata=metadata)
    if made is not None and _is_alike(made, call.arguments):
        return replace(call, arguments=made, provider_metadata=metadata)
    return replace(call, provider_metadata=None)


def _calls(chat: ChatRequest) -> list[ToolCallPart]:
    messages = (message for message in chat.messages if message.role == "assistant")
    return [part for message in messages for part in message.parts if isinstance(part, ToolCallPart)]


def _mark(metadata: Metadata | None) -> str:
    """What tells a signature from others, and is short."""
    return hashlib.blake2b(encode_json(metadata), digest_size=9).hexdigest()


def _digest(arguments: dict[str, Any]) -> str:
    """What tells arguments from others; 1.0 is 1, as in JavaScript and in google.protobuf.Struct."""
    text = json.dumps(_plain(arguments), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _object(text: str) -> dict[str, Any] | None:
    if not text.endswith("}"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_alike(made: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Whether what was sent differs from what was made only in the ways in which Claude Code puts calls in order."""
    if any(name not in sent for name in made):
        return False
    added = [value for name, value in sent.items() if name not in made]
    return all(value is False or value is None for value in added) and all(
        _is_same(value, sent[name]) or (name == "command" and _is_without_cd(value, sent[name]))
        for name, value in made.items()
    )


def _is_same(made: object, sent: object) -> bool:
    if isinstance(made, str) and isinstance(sent, str):
        return _tidy(made) == _tidy(sent)
    if isinstance(made, str) and type(sent) in (int, float):
        return made == str(sent)
    return made == sent and type(made) is type(sent)


def _is_without_cd(made: object, sent: object) -> bool:
    return isinstance(made, str) and isinstance(sent, str) and _tidy(_CD.sub("", made, count=1)) == _tidy(sent)


def _tidy(text: str) -> str:
    return _BACKSLASHES.sub(r"\\", _BLANKS_AT_END.sub("", text)).strip()

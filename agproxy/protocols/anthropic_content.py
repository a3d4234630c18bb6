"""The messages of Anthropic Messages, block by block.

Wire: ``MessageParam``, ``ContentBlockParam`` and ``BetaSystemMessageParam`` of the ``anthropic`` package;
https://platform.claude.com/docs/en/api/messages.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from agproxy.chat import (
    AttachmentPart,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields
from agproxy.protocols.attachments import attachment
from agproxy.protocols.fields import Body, shown
from agproxy.protocols.openai_messages import decode_arguments
from agproxy.protocols.seals import unseal, unseal_object

# Claude Code's first system block, which differs from call to call and so would spoil Gemini's caches.
_BILLING = "x-anthropic-billing-header:"
_ROLES = ("user", "assistant", "system")
_MESSAGE = frozenset({"role", "content"})
# What is read of a block, by its type. "citations" of a text are of an answer, and stand in its words already.
_COMMON = frozenset({"type"})
_READ = {
    "text": _COMMON | {"text", "citations"},
    "image": _COMMON | {"source"},
    "document": _COMMON | {"source", "title", "context", "citations"},
    "search_result": _COMMON | {"content", "source", "title", "citations"},
    "tool_use": _COMMON | {"id", "name", "input", "caller"},
    "tool_result": _COMMON | {"tool_use_id", "content", "is_error"},
    "thinking": _COMMON | {"thinking", "signature"},
    "tool_reference": _COMMON | {"tool_name"},
}
_SOURCE = _COMMON | {"data", "media_type", "url", "file_id"}
_FILE_TYPES = {"image": "image/png", "document": "application/pdf"}

Parts = list[TextPart | AttachmentPart]


class Reader:
    """Reads the messages of one request.

    :ivar ignored: what is not honoured, as request fields.
    :ivar effort: ``output_config.effort`` of the last message that has one, with its path, or None.
    :ivar tool_changes: what system messages have added to the tools or taken away, in order, each with its path.
    """

    def __init__(self, ignored: list[str]) -> None:
        self.ignored = ignored
        self.effort: tuple[str, object] | None = None
        self.tool_changes: list[tuple[str, Body]] = []
        self._signatures: dict[str, Metadata] = {}

    def read(self, body: Body) -> tuple[Message, ...]:
        """The conversation: ``system`` and ``messages``."""
        values = fields.array(body, "messages", required=True)
        if not values:
            raise BadRequest("messages is empty; send at least one message", param="messages")
        messages: list[Message] = []
        if said := self._system(body.get("system"), "system", "system[]"):
            messages.append(Message("system", said))
        last_user = max((place for place, value in enumerate(values) if _role(value) == "user"), default=-1)
        for position, value in enumerate(values):
            path = f"messages[{position}]"
            message = fields.mapping(value, path)
            is_cleared = message.get("clear_at") == "next_user_message" and position < last_user
            read = self._message(message, path)
            if not (is_cleared and _role(message) == "system"):
                messages += read
        return tuple(messages)

    def _message(self, message: Body, path: str) -> list[Message]:
        role = _role(message)
        if role not in _ROLES:
            raise BadRequest(
                f"{path}.role must be one of {', '.join(_ROLES)}, not {shown(message.get('role'))}",
                param=f"{path}.role",
            )
        if role == "system":
            return self._system_message(message, path)
        self._unread("messages[]", message, _MESSAGE)
        content = message.get("content")
        if isinstance(content, str):
            return [Message("user" if role == "user" else "assistant", (TextPart(content),))] if content else []
        if not isinstance(content, list):
            raise fields.wrong_type(
                f"{path}.content", "a string or an array of blocks", content, missing="content" not in message
            )
        if role == "user":
            return _grouped("user", self._blocks(content, path, _USER))
        return _grouped("assistant", self._signed(self._blocks(content, path, _ASSISTANT)))

    def _blocks(self, blocks: list[Any], path: str, kinds: "_Kinds") -> list[Part]:
        parts: list[Part] = []
        for position, value in enumerate(blocks):
            where = f"{path}.content[{position}]"
            block = {"type": "text", "text": value} if isinstance(value, str) else fields.mapping(value, where)
            kind = block.get("type")
            read = kinds.get(kind) if isinstance(kind, str) else None
            if read is not None:
                self._unread("messages[].content[]", block, _READ.get(str(kind)))
                parts += read(self, block, where)
            elif kinds is _ASSISTANT and isinstance(kind, str):
                parts += self._hosted(kind, block, where)
            else:
                raise BadRequest(
                    f"{where}.type must be one of {', '.join(kinds)} here, not {shown(kind)}", param=f"{where}.type"
                )
        return parts

    def _unread(self, listed: str, holder: Body, read: frozenset[str] | None) -> None:
        """List what is not read. ``cache_control`` by its name alone: it may stand anywhere, and often does."""
        for name, extra in holder.items():
            if read is not None and name not in read and extra:
                self.ignored.append(name if name == "cache_control" else f"{listed}.{name}")

    # Instructions.

    def _system(self, value: object, path: str, listed: str) -> tuple[TextPart, ...]:
        """Instructions as a text, or as an array of texts."""
        if value is None:
            return ()
        if isinstance(value, str):
            value = [{"type": "text", "text": value}]
        if not isinstance(value, list):
            raise fields.wrong_type(path, "a string or an array of text blocks", value)
        parts = []
        for position, each in enumerate(value):
            where = f"{path}[{position}]"
            block = {"type": "text", "text": each} if isinstance(each, str) else fields.mapping(each, where)
            if block.get("type") != "text":
                raise BadRequest(f"{where}.type must be text, not {shown(block.get('type'))}", param=f"{where}.type")
            self._unread(listed, block, _READ["text"])
            text = fields.string(block, "text", path=f"{where}.", required=True) or ""
            if text.startswith(_BILLING):
                text = text.partition("\n")[2]
            if text:
                parts.append(TextPart(text))
        return tuple(parts)

    def _system_message(self, message: Body, path: str) -> list[Message]:
        """Instructions in the middle; they may change the tools or the effort, and say nothing beside that.

        Gemini has no such turn, so they go before the conversation, as those of OpenAI's clients do.
        """
        self._unread("messages[]", message, _MESSAGE | {"clear_at", "output_config"})
        if message.get("clear_at") not in (None, "never", "next_user_message"):
            self.ignored.append("messages[].clear_at")
        if message.get("output_config") is not None:
            config = fields.mapping(message["output_config"], f"{path}.output_config")
            self._unread("messages[].output_config", config, frozenset({"effort"}))
            if config.get("effort") is not None:
                self.effort = (f"{path}.output_config.effort", config["effort"])
        content = message.get("content")
        if isinstance(content, list):
            self.tool_changes += [
                (f"{path}.content[{position}]", block)
                for position, block in enumerate(content)
                if _changes_tools(block)
            ]
            content = [block for block in content if not _changes_tools(block)]
        said = self._system(content, f"{path}.content", "messages[].content[]")
        return [Message("system", said)] if said else []

    # Blocks of the user.

    def _text(self, block: Body, where: str) -> Parts:
        text = fields.string(block, "text", path=f"{where}.", required=True)
        return [TextPart(text)] if text else []

    def _image(self, block: Body, where: str) -> Parts:
        return [self._file(fields.mapping(block.get("source"), f"{where}.source"), f"{where}.source", "image")]

    def _document(self, block: Body, where: str) -> Parts:
        source, path = fields.mapping(block.get("source"), f"{where}.source"), f"{where}.source"
        named = [
            f"{word}: {text}"
            for word, name in (("Document", "title"), ("About it", "context"))
            if (text := fields.string(block, name, path=f"{where}."))
        ]
        before: Parts = [TextPart("\n".join(named))] if named else []
        self._cited(block)
        match source.get("type"):
            case "text":
                text = fields.string(source, "data", path=f"{path}.", required=True)
                return [*before, *([TextPart(text)] if text else [])]
            case "content":
                inner = source.get("content")
                inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
                if not isinstance(inner, list):
                    raise fields.wrong_type(f"{path}.content", "a string or an array of blocks", inner)
                return [*before, *self._inner(inner, path, _DOCUMENT)]
        title = block.get("title")
        return [*before, self._file(source, path, "document", name=title if isinstance(title, str) else "")]

    def _file(self, source: Body, path: str, kind: str, *, name: str = "") -> AttachmentPart:
        what = "image" if kind == "image" else "file"
        self._unread("messages[].content[].source", source, _SOURCE)
        match source.get("type"):
            case "base64":
                content = fields.string(source, "data", path=f"{path}.", required=True) or ""
                media_type = fields.string(source, "media_type", path=f"{path}.") or ""
                return attachment(content, media_type, what=what, param=f"{path}.data", name=name)
            case "url":
                url = fields.string(source, "url", path=f"{path}.", required=True) or ""
                return attachment(url, "" if what == "image" else _FILE_TYPES[kind], what=what, param=f"{path}.url")
            case "file":
                raise BadRequest(
                    f"{path} names a file that was uploaded elsewhere, and agproxy stores none; send its content as"
                    f' {{"type": "base64", "media_type": "{_FILE_TYPES[kind]}", "data": ...}}',
                    param=path,
                )
        kinds = "base64, url" if kind == "image" else "base64, text, content, url"
        raise BadRequest(f"{path}.type must be one of {kinds}, not {shown(source.get('type'))}", param=f"{path}.type")

    def _search_result(self, block: Body, where: str) -> Parts:
        self._cited(block)
        title, source = (fields.string(block, name, path=f"{where}.") or "" for name in ("title", "source"))
        content = self._inner(fields.array(block, "content", path=f"{where}."), where, _TEXT)
        head = "\n".join(filter(None, (f"Search result: {title}".strip(), source)))
        return [TextPart(head), *content]

    def _cited(self, block: Body) -> None:
        """Gemini does not say which words of a file bear out which of its own."""
        if isinstance(wanted := block.get("citations"), dict) and wanted.get("enabled"):
            self.ignored.append("messages[].content[].citations")

    def _tool_result(self, block: Body, where: str) -> list[Part]:
        call_id = fields.string(block, "tool_use_id", path=f"{where}.", required=True) or ""
        content = block.get("content")
        parts: Parts
        if content is None or isinstance(content, str):
            parts = [TextPart(content)] if content else []
        elif isinstance(content, list):
            parts = self._inner(content, where, _RESULT)
        else:
            raise fields.wrong_type(f"{where}.content", "a string or an array of blocks", content)
        is_error = fields.boolean(block, "is_error", path=f"{where}.")
        return [ToolResultPart(call_id, "", tuple(parts), is_error=is_error)]

    def _inner(self, blocks: list[Any], where: str, kinds: "_Kinds") -> Parts:
        return [part for part in self._blocks(blocks, where, kinds) if isinstance(part, TextPart | AttachmentPart)]

    def _tool_reference(self, block: Body, where: str) -> Parts:
        """A tool that a search for tools has found; it is declared with the others."""
        name = fields.string(block, "tool_name", path=f"{where}.", required=True) or ""
        return [TextPart(f"Found the tool {name}; it can be called now.")]

    # Blocks of the assistant.

    def _tool_use(self, block: Body, where: str) -> list[Part]:
        name = fields.string(block, "name", path=f"{where}.", required=True) or ""
        if not name:
            raise BadRequest(f"{where}.name is empty", param=f"{where}.name")
        call_id = fields.string(block, "id", path=f"{where}.", required=True) or ""
        return [ToolCallPart(call_id, name, decode_arguments(block.get("input")))]

    def _thinking(self, block: Body, where: str) -> list[Part]:
        signature = block.get("signature")
        self._signatures.update(unseal(signature))
        if signature and unseal_object(signature) is None:  # real Claude's, which Gemini cannot read
            self.ignored.append("messages[].content[].signature")
        text = fields.string(block, "thinking", path=f"{where}.")
        return [ReasoningPart(text)] if text else []

    def _redacted_thinking(self, block: Body, where: str) -> list[Part]:
        self.ignored.append("messages[].content[].redacted_thinking")
        return []

    def _hosted(self, kind: str, block: Body, where: str) -> list[Part]:
        """What a tool of Anthropic's own servers was asked, and what it gave back; the model reads them as such.

        But for searches of the web: what was found stands in the text.
        """
        if kind == "web_search_tool_result" or (kind == "server_tool_use" and block.get("name") == "web_search"):
            return []
        if kind.endswith("_tool_result") or kind == "tool_result":
            return self._hosted_result(block, where)
        if kind == "compaction" and isinstance(text := block.get("content"), str):  # what was said before, in short
            return [TextPart(text)] if text else []
        if kind in ("server_tool_use", "mcp_tool_use"):
            return self._tool_use(block, where)
        self.ignored.append(f"messages[].content[].{kind}")
        return []

    def _hosted_result(self, block: Body, where: str) -> list[Part]:
        call_id = fields.string(block, "tool_use_id", path=f"{where}.", required=True) or ""
        content = block.get("content")
        texts = [each.get("text") for each in content if isinstance(each, dict)] if isinstance(content, list) else []
        if isinstance(content, str):
            text = content
        elif texts and isinstance(content, list) and all(isinstance(each, str) for each in texts):
            text = "\n".join(map(str, texts))
        else:
            text = encode_json(content).decode()
        return [ToolResultPart(call_id, "", (TextPart(text),), is_error=block.get("is_error") is True)]

    def _signed(self, parts: Iterable[Part]) -> list[Part]:
        """The parts, the calls among them with the signatures that thinking blocks carried."""
        signed = list(parts)
        for part in signed:
            if isinstance(part, ToolCallPart):
                part.provider_metadata = self._signatures.get(part.id)
        return signed


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _changes_tools(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") in ("tool_addition", "tool_removal")


def _grouped(role: Role, parts: list[Part]) -> list[Message]:
    """The parts as messages, for results of tools stand in messages of their own."""
    groups = groupby(parts, key=lambda part: isinstance(part, ToolResultPart))
    return [Message("tool" if is_result else role, tuple(group)) for is_result, group in groups]


_Kinds = dict[str, Callable[[Reader, Body, str], Any]]
_TEXT: _Kinds = {"text": Reader._text}
_DOCUMENT: _Kinds = {**_TEXT, "image": Reader._image}
_RESULT: _Kinds = {
    **_DOCUMENT,
    "document": Reader._document,
    "search_result": Reader._search_result,
    "tool_reference": Reader._tool_reference,
}
_USER: _Kinds = {
    **_DOCUMENT,
    "document": Reader._document,
    "search_result": Reader._search_result,
    "tool_result": Reader._tool_result,
}
_ASSISTANT: _Kinds = {
    **_TEXT,
    "image": Reader._image,
    "document": Reader._document,
    "tool_use": Reader._tool_use,
    "thinking": Reader._thinking,
    "redacted_thinking": Reader._redacted_thinking,
}

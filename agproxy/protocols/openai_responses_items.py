"""The items of Responses, as they come in a request, to messages.

Wire: ``ResponseInputItemParam`` of the ``openai`` package, and what its clients make of it: items without ``type``,
messages as Chat Completions has them, hosted calls of other services in a history.
"""

from collections.abc import Callable, Iterable
from typing import Any

from agproxy.chat import (
    AttachmentPart,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agproxy.errors import BadRequest, NotStored
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields
from agproxy.protocols.attachments import attachment
from agproxy.protocols.fields import Body, shown
from agproxy.protocols.openai_messages import (
    SYNONYMS,
    USER_PARTS,
    decode_arguments,
    decode_message,
    decode_metadata,
    decode_parts,
)
from agproxy.protocols.seals import seal_object, unseal, unseal_object

_HARMLESS = frozenset({"type", "id", "status", "phase"})
# What is read of an item; hosted calls are read whole.
_OUTPUT = _HARMLESS | {"call_id", "output", "name", "namespace"}
_READ = {
    "function_call": _HARMLESS | {"call_id", "name", "namespace", "arguments", "extra_content"},
    "custom_tool_call": _HARMLESS | {"call_id", "name", "namespace", "input", "extra_content"},
    "function_call_output": _OUTPUT,
    "custom_tool_call_output": _OUTPUT,
    "reasoning": _HARMLESS | {"summary", "content", "encrypted_content"},
    "additional_tools": _HARMLESS | {"role", "tools"},
}
_SUMMARY = "What was said before this point, in short:"
# Items that hold tools.
_TOOLS = ("additional_tools", "tool_search_output")
# Items that say nothing to a model, or only to one of OpenAI's.
_UNSERVED = frozenset(
    {
        *("compaction_trigger", "context_compaction", "configuration_update"),
        *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "program", "program_output"),
    }
)

NameOf = Callable[[str, str | None], str]


def seal_summary(text: str) -> str:
    """``encrypted_content`` of a compaction item: the summary that stands for a conversation."""
    return seal_object({"summary": text})


def listed_tools(items: Iterable[tuple[str, Any]]) -> list[tuple[str, list[object]]]:
    """The tools that stand within the input: the lists, each with its path.

    :param items: each with its path.
    """
    found = []
    for path, item in items:
        if isinstance(item, dict) and item.get("type") in _TOOLS:
            found.append((f"{path}.tools", fields.array(item, "tools", path=f"{path}.")))
    return found


def decode_items(items: Iterable[tuple[str, Any]], name_of: NameOf, ignored: list[str]) -> list[Message]:
    """The messages that the items are.

    :param items: each with its path.
    :param name_of: gives the name that the model knows a tool by, from its name and its namespace.
    :param ignored: what is not honoured is added to it.
    :raises NotStored: one is only a reference, to what is not stored.
    """
    reader = _Reader(name_of, ignored)
    messages: list[Message] = []
    for path, value in items:
        messages += reader.read(fields.mapping(value, path), path)
    return [reader.signed(message) for message in messages]


class _Reader:
    def __init__(self, name_of: NameOf, ignored: list[str]) -> None:
        self._name_of = name_of
        self._ignored = ignored
        self._signatures: dict[str, Metadata] = {}
        self._calls: dict[tuple[str, Any], Body] = {}  # the last of each kind and id

    def signed(self, message: Message) -> Message:
        """The message with the signatures that reasoning items carried, wherever they stood."""
        for part in message.parts:
            if isinstance(part, ToolCallPart) and not part.provider_metadata:
                part.provider_metadata = self._signatures.get(part.id)
        return message

    def read(self, item: Body, path: str) -> list[Message]:
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "item_reference" if "id" in item else None
        if not isinstance(kind, str):
            raise BadRequest(
                f"{path} is no item: it needs a type, or the role of a message",
                param=f"{path}.type",
                code="invalid_type",
            )
        if kind == "message":
            return [decode_message(item, path, self._ignored, listed="input[]", harmless=_HARMLESS)]
        if self._is_told_again(kind, item):
            return []
        if kind in _READ:
            self._ignored += [f"input[].{name}" for name, extra in item.items() if extra and name not in _READ[kind]]
        if kind in ("function_call", "custom_tool_call"):
            return [self._call(kind, item, path)]
        if kind in _UNSERVED:
            self._ignored.append(f"input[].{kind}")
            return []
        match kind:
            case "additional_tools" | "web_search_call":  # read elsewhere; what a search found stands in the message
                return []
            case "reasoning":
                return self._reasoning(item)
            case "compaction":
                return self._compaction(item)
            case "item_reference":
                raise NotStored(
                    f"Item with id {shown(item.get('id'))} not found. agproxy finds items of answers that it has stored"
                    " (store must not be false) and that have not expired; send the item itself instead.",
                    param=path,
                    code="item_not_found",
                )
            case "image_generation_call":
                return self._image(item, path)
            case "mcp_call" | "code_interpreter_call" | "file_search_call":
                return self._whole(kind, item)
        if kind.endswith("_output"):
            return [self._result(kind, item, path)]
        if kind.endswith("_call"):
            return [self._hosted_call(kind, item, path)]
        raise BadRequest(
            f"{path}.type {shown(kind)} is not known; send messages, function_call, function_call_output,"
            " custom_tool_call, custom_tool_call_output or reasoning items",
            param=f"{path}.type",
        )

    def _is_told_again(self, kind: str, item: Body) -> bool:
        """Whether the same call or output has been there, word for word: clients that ask again send some twice."""
        key = kind, item.get("call_id")
        if not isinstance(key[1], str):
            return False
        known, self._calls[key] = self._calls.get(key), item
        return known == item

    def _reasoning(self, item: Body) -> list[Message]:
        sealed = item.get("encrypted_content")
        self._signatures.update(unseal(sealed))
        if sealed and unseal_object(sealed) is None:
            self._ignored.append("input[].encrypted_content")
        pieces = [part for name in ("summary", "content") if isinstance(item.get(name), list) for part in item[name]]
        texts = [part["text"] for part in pieces if isinstance(part, dict) and isinstance(part.get("text"), str)]
        text = "\n\n".join(filter(None, texts))
        return [Message("assistant", (ReasoningPart(text),))] if text else []

    def _compaction(self, item: Body) -> list[Message]:
        summary = (unseal_object(item.get("encrypted_content")) or {}).get("summary")
        if not isinstance(summary, str) or not summary:
            self._ignored.append("input[].compaction")
            return []
        return [Message("user", (TextPart(f"{_SUMMARY}\n\n{summary}"),))]

    def _call(self, kind: str, item: Body, path: str) -> Message:
        name = fields.string(item, "name", path=f"{path}.", required=True) or ""
        if not name:
            raise BadRequest(f"{path}.name is empty", param=f"{path}.name")
        given = self._name_of(name, fields.string(item, "namespace", path=f"{path}."))
        if kind == "custom_tool_call":
            arguments: dict[str, Any] = {"input": fields.string(item, "input", path=f"{path}.") or ""}
        else:
            arguments = decode_arguments(item.get("arguments"))
        return Message("assistant", (ToolCallPart(_call_id(item, path), given, arguments, decode_metadata(item)),))

    def _hosted_call(self, kind: str, item: Body, path: str) -> Message:
        """A call whose result is an item of its own: of the shell, of the computer, of a search for tools."""
        given = {name: value for name, value in item.items() if name not in _OF_THE_ITEM and value is not None}
        action = next((value for name in _ACTIONS if isinstance(value := given.get(name), dict)), given)
        name, arguments = kind.removesuffix("_call"), decode_arguments(action)
        return Message("assistant", (ToolCallPart(_call_id(item, path), name, arguments),))

    def _result(self, kind: str, item: Body, path: str) -> Message:
        output = item.get("output")
        if output is None and kind in _TOOLS:
            output = {"tools": len(fields.array(item, "tools", path=f"{path}."))}
        elif output is None and kind == "apply_patch_call_output":  # may tell no more than that
            output = {"status": item.get("status")}
        elif output is None and "output" not in item:
            raise fields.wrong_type(f"{path}.output", "a string or an array of parts", None, missing=True)
        return Message("tool", (ToolResultPart(_call_id(item, path), "", self._output(output, path)),))

    def _output(self, output: object, path: str) -> tuple[TextPart | AttachmentPart, ...]:
        """A text, an array of parts, or any JSON, which the model reads as text."""
        match output:
            case None | "":
                return ()
            case str():
                return (TextPart(output),)
            case [*parts] if parts and all(_is_part(part) for part in parts):
                return tuple(decode_parts(parts, f"{path}.output", USER_PARTS, self._ignored, "input[].output[]"))
            case {"type": "computer_screenshot", "image_url": str(url)}:
                return (attachment(url, what="image", param=f"{path}.output.image_url"),)
        return (TextPart(encode_json(output).decode()),)

    def _image(self, item: Body, path: str) -> list[Message]:
        """An image that the model made."""
        image = fields.string(item, "result", path=f"{path}.")
        if not image:
            return []
        part = attachment(image, what="image", param=f"{path}.result")
        part.provider_metadata = decode_metadata(item)
        return [Message("assistant", (part,))]

    def _whole(self, kind: str, item: Body) -> list[Message]:
        """A hosted call that holds its result: the model reads it as a call and a result."""
        held = {name: value for name, value in item.items() if name not in _OF_THE_ITEM and value is not None}
        results = {name: held.pop(name) for name in _RESULTS if name in held}
        call_id = item.get("id")
        if not isinstance(call_id, str) or not call_id:
            call_id = kind
        name = held.pop("name", None)
        if not isinstance(name, str) or not name:
            name = kind.removesuffix("_call")
        arguments = decode_arguments(held.get("arguments", held))
        call: Part = ToolCallPart(call_id, name, arguments)
        text = TextPart(encode_json(results).decode())
        return [Message("assistant", (call,)), Message("tool", (ToolResultPart(call_id, "", (text,)),))]


# Of an item, and not of what it calls.
_OF_THE_ITEM = frozenset({"type", "id", "call_id", "status", "created_by", "caller", "execution", "container_id"})
_ACTIONS = ("action", "operation", "arguments")
_RESULTS = ("output", "outputs", "results", "error")


def _is_part(value: object) -> bool:
    """Whether it is a part: by a name of Responses, or by one of Chat Completions that holds what it is named for."""
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str):
        return False
    return SYNONYMS.get(kind, kind) in USER_PARTS and (kind in SYNONYMS or kind in value)


def _call_id(item: Body, path: str) -> str:
    """The older local shell has its call's id as ``id``; a search for tools that OpenAI made has none."""
    kind = str(item.get("type"))
    call_id = fields.string(item, "call_id", path=f"{path}.")
    if call_id is None and kind.startswith("local_shell"):
        call_id = fields.string(item, "id", path=f"{path}.")
    elif call_id is None and kind.startswith("tool_search"):
        call_id = "tool_search"
    if not call_id:
        raise BadRequest(
            f"{path}.call_id is missing; it must be the id of the call",
            param=f"{path}.call_id",
            code="missing_required_parameter",
        )
    return call_id

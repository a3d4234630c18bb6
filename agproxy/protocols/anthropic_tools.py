"""The tools of Anthropic Messages, and ``tool_choice``.

Wire: ``ToolUnionParam`` and ``ToolChoiceParam`` of the ``anthropic`` package;
https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview.
"""

from collections.abc import Iterable
from typing import Any

from agproxy.chat import Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown

# What is read of a tool. The last three say how Anthropic's servers handle it; each tool is declared from the start,
# and its arguments come as soon as they are known.
_READ = frozenset({"type", "name", "description", "input_schema", "input_examples", "defer_loading"})
_HARMLESS: dict[str, tuple[object, ...]] = {"eager_input_streaming": (True,), "allowed_callers": (["direct"],)}
_CHOICE = ("type", "name", "disable_parallel_tool_use")
# Claude Code's stand-in for the tools that its search for tools will bring.
_PLACEHOLDER = "DeferredToolPlaceholder"


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _one_of(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


_EDITS = {  # what the two tools that edit files have in common
    "view_range": {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 2,
        "maxItems": 2,
        "description": "For view: first and last line, from 1; -1 is the end.",
    },
    "file_text": _text("For create: the whole content."),
    "old_str": _text("For str_replace: what to replace, which stands exactly once in the file."),
    "new_str": _text("For str_replace: what to put in its place."),
    "insert_line": {"type": "integer", "description": "For insert: the line to insert after; 0 is the start."},
    "insert_text": _text("For insert: what to insert."),
}
# Tools that the client runs, and whose schemas Claude knows: by the beginning of their type, with a description.
# Wire: .../agents-and-tools/tool-use/bash-tool, .../text-editor-tool and .../memory-tool of Anthropic's documentation.
_KNOWN = (
    (
        "bash_",
        "Runs a command in a shell that stays open.",
        _object((), command=_text("The command."), restart={"type": "boolean", "description": "Restart the shell."}),
    ),
    (
        "text_editor_",
        "Views, creates and edits files.",
        _object(
            ("command", "path"),
            command=_one_of("view", "create", "str_replace", "insert"),
            path=_text("Of the file, or of the folder to view."),
            **_EDITS,
        ),
    ),
    (
        "memory_",
        "Keeps notes in files below /memories, from one conversation to the next.",
        _object(
            ("command",),
            command=_one_of("view", "create", "str_replace", "insert", "delete", "rename"),
            path=_text("Of the file or folder, below /memories."),
            **_EDITS,
            old_path=_text("For rename: the path now."),
            new_path=_text("For rename: the path wanted."),
        ),
    ),
)


def decode_tools(
    body: Body, changes: Iterable[tuple[str, Body]], ignored: list[str]
) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools that the model may call, and the fields that ask for a search of the web.

    :param changes: what messages have added or taken away, each with its path.
    :param ignored: what is not honoured is added to it.
    """
    offered: dict[str, Tool | str] = {}  # a search is the field that asks for it
    known: dict[str, Tool | str] = {}
    for position, value in enumerate(fields.array(body, "tools")):
        path = f"tools[{position}]"
        _declare(fields.mapping(value, path), path, known, ignored)
    offered.update(known)
    for path, change in changes:
        held = fields.mapping(change.get("tool"), f"{path}.tool")
        if held.get("type") == "tool_definition" and change["type"] == "tool_addition":
            where = f"{path}.tool.definition"
            name = _declare(fields.mapping(held.get("definition"), where), where, known, ignored)
        else:
            name = fields.string(held, "name", path=f"{path}.tool.") or ""
        if change["type"] == "tool_removal":
            offered.pop(name, None)
        elif name in known:
            offered[name] = known[name]
        else:
            ignored.append("messages[].content[].tool_addition")
    tools = tuple(tool for tool in offered.values() if isinstance(tool, Tool))
    return tools, tuple(path for path in offered.values() if isinstance(path, str))


def _declare(holder: Body, path: str, known: dict[str, Tool | str], ignored: list[str]) -> str:
    """Add a tool to those that are known; returns its name, empty where it is none that can be called."""
    kind = fields.string(holder, "type", path=f"{path}.") or "custom"
    if kind.startswith("web_search"):
        name = fields.string(holder, "name", path=f"{path}.") or "web_search"
        if name in known:
            ignored.append(path)
            return name
        known[name] = path
        ignored += [f"{path}.{option}" for option, extra in holder.items() if option not in ("type", "name") and extra]
        return name
    tool = _custom(holder, path) if kind == "custom" else _implied(kind, holder)
    if tool is None or tool.name in known:  # one that Anthropic's servers run; Gemini refuses names that repeat
        ignored.append(path)
        return tool.name if tool else ""
    if tool.name == _PLACEHOLDER and holder.get("defer_loading"):
        return ""
    known[tool.name] = tool
    for option, extra in holder.items():
        if extra and option not in _READ and extra not in _HARMLESS.get(option, ()):
            ignored.append(option if option == "cache_control" else f"tools[].{option}")
    return tool.name


def _custom(holder: Body, path: str) -> Tool:
    name = fields.string(holder, "name", path=f"{path}.", required=True)
    if not name:
        raise BadRequest(f"{path}.name is empty", param=f"{path}.name")
    description = fields.string(holder, "description", path=f"{path}.") or ""
    if examples := fields.array(holder, "input_examples", path=f"{path}."):
        description += "\n\nExamples of its input: " + ", ".join(encode_json(each).decode() for each in examples)
    schema = holder.get("input_schema")
    return Tool(name, description.strip(), None if schema is None else fields.mapping(schema, f"{path}.input_schema"))


def _implied(kind: str, holder: Body) -> Tool | None:
    """A tool of a type that implies its schema, or None for one that is not known, or that no client runs."""
    found = next((entry for entry in _KNOWN if kind.startswith(entry[0])), None)
    name = holder.get("name")
    return Tool(name, *found[1:]) if found and isinstance(name, str) and name else None


def decode_tool_choice(body: Body, tools: tuple[Tool, ...], ignored: list[str]) -> tuple[ToolChoice, bool]:
    """Which tools the model may or must call, and whether several at once.

    A choice that no tool can meet, for Anthropic's servers would run it, is left to the model and listed as ignored.
    """
    value = body.get("tool_choice")
    if value is None:
        return ToolChoice(), True
    choice = fields.mapping(value, "tool_choice")
    ignored += [f"tool_choice.{name}" for name, extra in choice.items() if name not in _CHOICE and extra]
    parallel = not fields.boolean(choice, "disable_parallel_tool_use", path="tool_choice.")
    match choice.get("type"):
        case "auto":
            return ToolChoice(), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "any" if tools:
            return ToolChoice("required"), parallel
        case "tool":
            name = fields.string(choice, "name", path="tool_choice.", required=True) or ""
            if any(tool.name == name for tool in tools):
                return ToolChoice("required", (name,)), parallel
            if not any(isinstance(each, dict) and each.get("name") == name for each in body.get("tools") or ()):
                raise BadRequest(f"tool_choice names {shown(name)}, which is not among the tools", param="tool_choice")
        case "any" if body.get("tools"):
            pass
        case "any":
            raise BadRequest("tool_choice demands a call, but there are no tools", param="tool_choice")
        case kind:
            raise BadRequest(
                f"tool_choice.type must be one of auto, any, tool, none, not {shown(kind)}", param="tool_choice.type"
            )
    ignored.append("tool_choice")
    return ToolChoice(), parallel

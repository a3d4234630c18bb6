"""The tools of Responses, and its ``tool_choice``.

Gemini knows functions only. A custom tool becomes a function with one text, the functions of a namespace get its name
in front of theirs; both are told apart again in the answer. Hosted tools run at OpenAI, and are left out, but for the
search of the web, for which Gemini has its own.

Wire: ``ToolParam`` and ``ToolChoice`` of the ``openai`` package, ``types/responses``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agproxy.chat import Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.names import Unused
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown
from agproxy.protocols.openai_tools import decode_tool, decode_tool_choice, is_search

_READ = {
    "function": frozenset({"type", "name", "description", "parameters"}),
    "custom": frozenset({"type", "name", "description", "format"}),
    "namespace": frozenset({"type", "name", "description", "tools"}),
}
_WORDS = ("auto", "none", "required", "any", "tool")  # types of choices that name no kind of tool


@dataclass(slots=True)
class Toolbox:
    """The tools of a request.

    :param tools: by the name that the model is given.
    :param names: what stands behind the name of a tool of a namespace: the namespace, and its name there.
    :param searches: the request fields that ask for a search of the web.
    :param echo: the tools that the model has, as the Response object tells them.
    :param left_out: whether there were tools that are not served.
    """

    tools: dict[str, Tool] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    searches: list[str] = field(default_factory=list)
    echo: list[Body] = field(default_factory=list)
    left_out: bool = False
    _flat: dict[tuple[str, str], str] = field(default_factory=dict)
    _unused: Unused = field(default_factory=lambda: Unused("_"), compare=False)

    def given(self, name: str, namespace: str | None) -> str:
        """The name that the model knows a tool by."""
        if not namespace:
            return name
        return self._flat.get((namespace, name), f"{namespace}__{name}")

    def add(self, tool: Tool) -> None:
        """Add a tool; of each name there is one."""
        self._unused.taken.add(tool.name)
        self.tools[tool.name] = tool

    def add_namespaced(self, tool: Tool, namespace: str, description: str) -> None:
        """Add a tool of a namespace, under a name that no other has."""
        flat = self._unused.take(f"{namespace}__{tool.name}")
        self.names[flat] = (namespace, tool.name)
        self._flat[namespace, tool.name] = flat
        self.tools[flat] = replace(tool, name=flat, description=description)

    def known(self, name: str, namespace: str) -> Tool | None:
        """The tool of a namespace, if it has been added."""
        flat = self._flat.get((namespace, name))
        return None if flat is None else self.tools[flat]


def decode_tools(lists: Iterable[tuple[str, list[object]]], ignored: list[str]) -> Toolbox:
    """The tools of one request.

    :param lists: lists of tools, each with the path at which it stands: ``tools``, and those within the input.
    :param ignored: what is not honoured is added to it.
    """
    box = Toolbox()
    namespaced = []
    for list_path, values in lists:
        for position, value in enumerate(values):
            path = f"{list_path}[{position}]"
            holder = fields.mapping(value, path)
            kind = holder.get("type", "function")
            if kind in ("function", "custom"):
                _add(box, str(kind), holder, path, ignored)
            elif kind == "namespace":
                namespaced.append((path, holder))
            elif is_search(kind) and holder.get("external_web_access") is not False:
                box.searches.append(path)
                box.echo.append({"type": "web_search"})
                ignored += [f"{path}.{name}" for name, extra in holder.items() if extra and name not in _SEARCH_READ]
            else:  # a hosted tool that only OpenAI runs, or a search of what it has stored
                box.left_out = True
                ignored.append(f"{path}.{kind}" if isinstance(kind, str) else path)
    for path, holder in namespaced:  # last, for their names give way
        _add_namespace(box, holder, path, ignored)
    return box


_SEARCH_READ = frozenset({"type", "external_web_access"})


def _add(box: Toolbox, kind: str, holder: Body, path: str, ignored: list[str]) -> None:
    if isinstance(holder.get(kind), dict) and "name" not in holder:  # as Chat Completions has it
        holder = {**fields.mapping(holder[kind], f"{path}.{kind}"), "type": kind}
    tool = decode_tool(kind, holder, f"{path}.")
    ignored += _unread(holder, kind, path)
    if tool.name in box.tools:
        if box.tools[tool.name] != tool:
            ignored.append(path)  # Gemini refuses two declarations of one name
        return
    box.add(tool)
    box.echo.append(_told(kind, holder, tool.name))


def _add_namespace(box: Toolbox, holder: Body, path: str, ignored: list[str]) -> None:
    namespace = fields.string(holder, "name", path=f"{path}.", required=True) or ""
    if not namespace:
        raise BadRequest(f"{path}.name is empty", param=f"{path}.name")
    about = fields.string(holder, "description", path=f"{path}.") or ""
    ignored += _unread(holder, "namespace", path)
    told = []
    for position, value in enumerate(fields.array(holder, "tools", path=f"{path}.")):
        where = f"{path}.tools[{position}]"
        inner = fields.mapping(value, where)
        kind = inner.get("type", "function")
        if kind not in ("function", "custom"):
            box.left_out = True
            ignored.append(f"{where}.{kind}" if isinstance(kind, str) else where)
            continue
        tool = decode_tool(kind, inner, f"{where}.")
        ignored += _unread(inner, kind, where)
        if (known := box.known(tool.name, namespace)) is not None:
            if (known.parameters, known.freeform) != (tool.parameters, tool.freeform):
                ignored.append(where)
            continue
        words = f"{about}\n\n{tool.description}" if about and tool.description else about or tool.description
        box.add_namespaced(tool, namespace, words)
        told.append(_told(kind, inner, tool.name))
    if told:
        box.echo.append({"type": "namespace", "name": namespace, "description": about, "tools": told})


def _unread(holder: Body, kind: str, path: str) -> list[str]:
    path = path[: path.rindex("[")] + "[]"
    return [f"{path}.{name}" for name, extra in holder.items() if extra and name not in _READ[kind]]


def _told(kind: str, holder: Body, name: str) -> Body:
    """A tool as the Response object has it: keys that may be null are there."""
    description = holder.get("description")
    if kind == "custom":
        told: Body = {"type": "custom", "name": name, "description": description or ""}
        form = _told_format(holder.get("format"))
        return {**told, "format": form} if form else told
    parameters, strict = holder.get("parameters"), holder.get("strict")
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters if isinstance(parameters, dict) else None,
        "strict": strict if isinstance(strict, bool) else None,
    }


def _told_format(value: object) -> Body | None:
    match value:
        case {"type": "text"}:
            return {"type": "text"}
        case {"syntax": "lark" | "regex" as syntax, "definition": str(definition)} | {
            "grammar": {"syntax": "lark" | "regex" as syntax, "definition": str(definition)}
        }:
            return {"type": "grammar", "syntax": syntax, "definition": definition}
    return None


def decode_choice(value: object, box: Toolbox, ignored: list[str]) -> ToolChoice:
    """Which tools the model may or must call. What demands a tool that is left out, is left to the model.

    :param value: ``tool_choice``; None = as the model likes.
    :param ignored: what is not honoured is added to it.
    """
    tools = tuple(box.tools.values())
    value = _flat(value)
    match value:
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*entries]}:
            return _allowed(str(mode), entries, box, ignored)
        case {"type": "function" | "custom", "name": str(name)}:
            value = {"type": "function", "name": box.given(name, _namespace(value))}
        case {"type": str(kind)} if kind not in (*_WORDS, "function", "custom", "allowed_tools"):
            if not box.left_out and not box.searches:
                raise BadRequest(
                    f"tool_choice demands {shown(kind)}, which is not among the tools", param="tool_choice"
                )
            ignored.append("tool_choice")
            return ToolChoice()
        case "required" | "any" if not tools and box.left_out:
            ignored.append("tool_choice")
            return ToolChoice()
    return decode_tool_choice(value, tools, tuple(box.searches), param="tool_choice", ignored=ignored)


def _allowed(mode: str, entries: list[object], box: Toolbox, ignored: list[str]) -> ToolChoice:
    """``allowed_tools``. A search that is not among them is not made."""
    names: dict[str, None] = {}
    namespaces: set[str] = set()
    search = False
    for position, entry in enumerate(entries):
        path = f"tool_choice.tools[{position}]"
        entry = _flat(entry)
        match entry:
            case {"type": "namespace", "name": str(namespace)}:
                namespaces.add(namespace)
            case {"type": "function" | "custom", "name": str(name)}:
                given = box.given(name, _namespace(entry))
                if given not in box.tools:
                    raise BadRequest(f"{path} names {shown(name)}, which is not among the tools", param="tool_choice")
                names[given] = None
            case {"type": str(kind)} if is_search(kind) and box.searches:
                search = True
            case {"type": str()}:
                ignored.append(path)
            case _:
                raise BadRequest(f"{path} must be an object with the type and name of a tool", param="tool_choice")
    names |= dict.fromkeys(flat for flat, (namespace, _) in box.names.items() if namespace in namespaces)
    if not search:
        box.searches.clear()
    if names:
        return ToolChoice("required" if mode == "required" else "auto", tuple(names))
    if mode == "required":
        ignored.append("tool_choice")
    return ToolChoice("auto" if search and not box.tools else "none")


def _flat(value: object) -> object:
    """A choice, or a tool within one, in the form of Responses, though it came in that of Chat Completions."""
    match value:
        case (
            {"type": "function" as kind, "function": {**inner}}
            | {"type": "custom" as kind, "custom": {**inner}}
            | {"type": "allowed_tools" as kind, "allowed_tools": {**inner}}
        ):
            return {**inner, "type": kind}
    return value


def _namespace(value: object) -> str | None:
    namespace = value.get("namespace") if isinstance(value, dict) else None
    return namespace if isinstance(namespace, str) else None


def told_choice(value: object, box: Toolbox) -> object:
    """``tool_choice`` as the Response object has it."""
    value = _flat(value)
    match value:
        case "none" | "required":
            return value
        case "any" | {"type": "required" | "any"}:
            return "required"
        case {"type": "none"}:
            return "none"
        case {"type": "function" | "custom" as kind, "name": str(name)}:
            namespace = _namespace(value)
            return {"type": kind, "name": name, **({"namespace": namespace} if namespace else {})}
        case {"type": "allowed_tools", "mode": "auto" | "required", "tools": [*_]}:
            return value
    return "auto"

"""OpenAI's tools and ``tool_choice``, as Chat Completions has them; flat functions of Responses are understood too.

Wire: ``ChatCompletionTool`` and ``ChatCompletionToolChoiceOption`` of the ``openai`` package.
"""

from agproxy.chat import Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown

# What is read of a tool, and of what it declares, by its type; Responses has both in one. Not "strict": Gemini follows
# schemas, but does not promise to.
_ENTRY = {kind: frozenset({"type", kind}) for kind in ("function", "custom")}
_DECLARED = {
    "function": frozenset({"name", "description", "parameters"}),
    "custom": frozenset({"name", "description", "format"}),
}
# Hosted tools that search the web, as clients of OpenAI, of Google's layer and of routers name them.
_SEARCH = ("web_search", "web_search_preview", "google_search", "googleSearch")
_FREEFORM_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}


def decode_tools(body: Body, ignored: list[str]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools that the model may call, and the fields that ask for a search of the web.

    :param ignored: what is not honoured is added to it.
    """
    tools: dict[str, Tool] = {}
    searches: list[str] = []
    for position, value in enumerate(fields.array(body, "tools")):
        path = f"tools[{position}]"
        holder = fields.mapping(value, path)
        kind = _kind(holder)
        if is_search(kind):
            searches.append(path)
            ignored += [f"{path}.{name}" for name, extra in holder.items() if name != "type" and extra]
            continue
        if kind not in ("function", "custom"):
            ignored.append(path)  # a hosted tool that only OpenAI runs
            continue
        flat = kind not in holder and "name" in holder  # as in Responses, which some clients send here too
        declared = holder if flat else fields.mapping(holder.get(kind), f"{path}.{kind}")
        read = _ENTRY[kind] | _DECLARED[kind] if flat else _ENTRY[kind]
        ignored += [f"tools[].{name}" for name, extra in holder.items() if extra and name not in read]
        if not flat:
            ignored += _unread(declared, kind, f"tools[].{kind}.")
        tool = decode_tool(kind, declared, f"{path}.{kind}.")
        if tool.name in tools:
            ignored.append(path)  # Gemini refuses two declarations of one name
            continue
        tools[tool.name] = tool
    return tuple(tools.values()), tuple(searches)


def decode_functions(body: Body, ignored: list[str]) -> tuple[Tool, ...]:
    """``functions``, which ``tools`` replaced."""
    tools: dict[str, Tool] = {}
    for position, value in enumerate(fields.array(body, "functions")):
        path = f"functions[{position}]"
        holder = fields.mapping(value, path)
        ignored += _unread(holder, "function", "functions[].")
        tool = decode_tool("function", holder, f"{path}.")
        if tool.name in tools:
            ignored.append(path)
            continue
        tools[tool.name] = tool
    return tuple(tools.values())


def _kind(holder: Body) -> object:
    """``type``; Google's own form, ``{"google_search": {}}``, names the tool by its only key."""
    return next(iter(holder)) if len(holder) == 1 and next(iter(holder)) in _SEARCH else holder.get("type", "function")


def is_search(kind: object) -> bool:
    """Whether a hosted tool of this type searches the web."""
    return isinstance(kind, str) and (kind in _SEARCH or kind.startswith("web_search"))


def _unread(declared: Body, kind: str, path: str) -> list[str]:
    return [f"{path}{name}" for name, extra in declared.items() if extra and name not in _DECLARED[kind]]


def decode_tool(kind: str, holder: Body, path: str) -> Tool:
    """The tool that ``holder`` declares.

    :param kind: ``function`` or ``custom``.
    """
    name = fields.string(holder, "name", path=path, required=True)
    if not name:
        raise BadRequest(f"{path}name is empty", param=f"{path}name")
    description = fields.string(holder, "description", path=path) or ""
    if kind == "function":
        return Tool(name, description, holder.get("parameters"))
    form = holder.get("format")
    if isinstance(form, dict) and isinstance(grammar := form.get("grammar", form), dict) and "definition" in grammar:
        description += f"\n\nThe input must follow this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
    description += "\n\nPut the whole input, as it is, into the argument named input."
    return Tool(name, description.strip(), _FREEFORM_PARAMETERS, freeform=True)


def decode_tool_choice(
    value: object, tools: tuple[Tool, ...], searches: tuple[str, ...], *, param: str, ignored: list[str]
) -> ToolChoice:
    """Which of ``tools`` the model may or must call. A search cannot be demanded; one that is, is left to the model.

    :param value: ``tool_choice``, or ``function_call``, which it replaced; None = as the model likes.
    :param searches: the fields that ask for a search of the web.
    :param ignored: what is not honoured is added to it.
    """
    if value is None:
        return ToolChoice()
    if searches and isinstance(value, dict) and is_search(value.get("type")):
        ignored.append(param)
        return ToolChoice()
    choice = _choice(value, param)
    if searches and choice == ToolChoice("required") and not tools:
        ignored.append(param)
        return ToolChoice()
    if choice.mode == "required" and not tools:
        raise BadRequest(f"{param} demands a call, but there are no tools", param=param)
    known = {tool.name for tool in tools}
    for name in choice.names:
        if name not in known:
            raise BadRequest(f"{param} names {shown(name)}, which is not among the tools", param=param)
    return choice


def _choice(value: object, param: str) -> ToolChoice:
    """A word, one function or custom tool, or ``allowed_tools``."""
    match value:
        case "auto" | "none" | "required":
            return ToolChoice(value)
        case "any" | {"type": "any" | "required"}:  # Mistral's and Anthropic's words
            return ToolChoice("required")
        case {"type": "auto" | "none" as mode}:
            return ToolChoice(mode)
        case {"type": "function" | "custom" | "tool", "name": str(name)}:
            return ToolChoice("required", (name,))
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("required", (name,))
        case {"name": str(name)} if param == "function_call":
            return ToolChoice("required", (name,))
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*entries]}}:
            names = []
            for entry in entries:
                match entry:
                    case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
                        names.append(name)
                    case _:
                        raise BadRequest(f"{param}.allowed_tools.tools holds an entry without a name", param=param)
            if not names and mode == "required":
                raise BadRequest(f"{param} demands a call, but allows no tool", param=param)
            return ToolChoice(mode if names else "none", tuple(names))
    raise BadRequest(
        f'{param} must be "auto", "none", "required", one named function or custom tool, or allowed_tools',
        param=param,
    )

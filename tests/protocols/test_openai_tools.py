"""Tools and ``tool_choice``: functions, custom tools, hosted searches, and what is refused by its place."""

import pytest

from agproxy.chat import Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.protocols.openai_tools import decode_functions, decode_tool_choice, decode_tools
from tests.chat_bodies import Json

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PATCH = {"type": "custom", "custom": {"name": "patch"}}


def tools(*values: Json) -> tuple[Tool, ...]:
    return decode_tools({"tools": list(values)}, [])[0]


def ignored(*values: Json) -> list[str]:
    names: list[str] = []
    decode_tools({"tools": list(values)}, names)
    return names


def choice(value: Json, *among: Json, param: str = "tool_choice") -> ToolChoice:
    names: list[str] = []
    found = decode_tool_choice(value, *decode_tools({"tools": list(among)}, []), param=param, ignored=names)
    assert names == []
    return found


# Tools.


def test_function_tool() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}
    assert tools(tool) == (Tool("look", "Looks.", schema),)


@pytest.mark.parametrize("tool", [{"type": "function", "function": {"name": "now"}}, {"function": {"name": "now"}}])
def test_function_tool_without_parameters(tool: Json) -> None:
    assert tools(tool) == (Tool("now", ""),)


def test_custom_tool_takes_one_text() -> None:
    (tool,) = tools({"type": "custom", "custom": {"name": "patch", "description": "Patches."}})
    described = "Patches.\n\nPut the whole input, as it is, into the argument named input."
    assert (tool.name, tool.description, tool.freeform) == ("patch", described, True)
    assert isinstance(tool.parameters, dict)
    assert tool.parameters["required"] == ["input"]


def test_grammar_of_a_custom_tool_is_told_in_its_description() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"+'}}
    (tool,) = tools({"type": "custom", "custom": {"name": "patch", "format": grammar}})
    assert "lark" in tool.description
    assert 'start: "a"+' in tool.description


def test_second_tool_of_a_name_is_left_out_and_listed() -> None:
    assert tools(LOOK, LOOK) == (Tool("look", "", {"type": "object"}),)
    assert ignored(LOOK, LOOK, PATCH) == ["tools[1]"]


def test_strict_schema_is_listed() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    loose = {"type": "function", "function": {"name": "g", "strict": False}}
    assert ignored(strict, loose) == ["tools[].function.strict"]


@pytest.mark.parametrize(
    ("tool", "listed"),
    [
        ({**LOOK, "cache_control": {"type": "ephemeral"}}, ["tools[].cache_control"]),
        ({**LOOK, "defer_loading": True, "custom": {"name": "x"}}, ["tools[].defer_loading", "tools[].custom"]),
        ({"function": {"name": "f", "cache_control": {}, "returns": {"a": 1}}}, ["tools[].function.returns"]),
        ({"type": "custom", "custom": {"name": "f", "parameters": {"a": 1}}}, ["tools[].custom.parameters"]),
        ({"type": "function", "name": "f", "strict": True, "x": 1}, ["tools[].strict", "tools[].x"]),
        ({"type": "custom", "name": "f", "format": {"type": "text"}, "x": 1}, ["tools[].x"]),
        ({**LOOK, "defer_loading": False, "x": None}, []),
    ],
)
def test_what_is_not_read_of_a_tool_is_listed(tool: Json, listed: list[str]) -> None:
    assert ignored(tool) == listed


@pytest.mark.parametrize("body", [{}, {"tools": None}, {"tools": []}])
def test_there_may_be_no_tools(body: Json) -> None:
    assert decode_tools(body, []) == ((), ())


def test_flat_tools_of_responses_are_understood() -> None:
    schema = {"type": "object"}
    flat = {"type": "function", "name": "look", "description": "Looks.", "parameters": schema, "strict": None}
    grammar = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    look, patch = tools(flat, {"type": "custom", "name": "patch", "format": grammar})
    assert look == Tool("look", "Looks.", schema)
    assert (patch.name, patch.freeform) == ("patch", True)
    assert "regex" in patch.description
    assert "a+" in patch.description


@pytest.mark.parametrize("form", [None, "text", {"type": "text"}, {"type": "grammar"}, {"grammar": "x"}])
def test_custom_tool_without_a_grammar_is_described_by_its_own_words(form: Json) -> None:
    (tool,) = tools({"type": "custom", "custom": {"name": "patch", "description": "Patches.", "format": form}})
    assert tool.description.startswith("Patches.\n\nPut the whole input")


# Hosted tools.


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "web_search_preview"},
        {"type": "web_search_preview_2025_03_11"},
        {"type": "web_search_20250305"},
        {"type": "web_search", "user_location": None},
        {"type": "google_search"},
        {"type": "google_search", "google_search": {}},
        {"google_search": {}},
        {"googleSearch": {}},
    ],
)
def test_search_of_the_web_is_asked_for_by_a_tool(tool: Json) -> None:
    names: list[str] = []
    declared, search = decode_tools({"tools": [LOOK, tool, {"type": "web_search"}]}, names)
    assert [each.name for each in declared] == ["look"]
    assert search == ("tools[1]", "tools[2]")
    assert names == []


@pytest.mark.parametrize(
    ("tool", "listed"),
    [
        ({"type": "web_search", "search_context_size": "low"}, ["tools[0].search_context_size"]),
        ({"type": "web_search_preview", "user_location": {"type": "approximate"}}, ["tools[0].user_location"]),
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 5}, ["tools[0].name", "tools[0].max_uses"]),
        ({"google_search": {"exclude_domains": ["a.com"]}}, ["tools[0].google_search"]),
        ({"type": "web_search", "web_search": {"enable": True}}, ["tools[0].web_search"]),
    ],
)
def test_options_of_a_search_are_listed(tool: Json, listed: list[str]) -> None:
    assert ignored(tool) == listed


@pytest.mark.parametrize(
    "kind", ["code_interpreter", "file_search", "mcp", "retrieval", "url_context", "", None, 5, []]
)
def test_other_hosted_tool_is_left_out_and_listed(kind: Json) -> None:
    assert tools({"type": kind}, LOOK) == tools(LOOK)
    assert ignored({"type": kind}, LOOK) == ["tools[0]"]


def test_function_may_be_named_like_a_search() -> None:
    names = ("web_search", "google_search")
    assert [tool.name for tool in tools(*({"function": {"name": name}} for name in names))] == list(names)
    assert ignored(*({"type": "function", "name": name} for name in names)) == []


# functions.


def test_functions_are_tools_in_an_older_dress() -> None:
    names: list[str] = []
    body = {"functions": [{"name": "look", "description": "Looks.", "parameters": {"a": 1}}, {"name": "now"}]}
    assert decode_functions(body, names) == (Tool("look", "Looks.", {"a": 1}), Tool("now", ""))
    assert names == []


def test_second_function_of_a_name_is_left_out_and_listed() -> None:
    names: list[str] = []
    assert decode_functions({"functions": [{"name": "now"}, {"name": "now"}]}, names) == (Tool("now", ""),)
    assert names == ["functions[1]"]


def test_what_is_not_read_of_a_function_is_listed() -> None:
    names: list[str] = []
    decode_functions({"functions": [{"name": "now", "strict": True, "cache_control": {"a": 1}, "x": None}]}, names)
    assert names == ["functions[].strict", "functions[].cache_control"]


# tool_choice.


def allowed(mode: str, *tools: Json) -> Json:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


CHOICES: list[tuple[Json, ToolChoice]] = [
    (None, ToolChoice("auto")),
    ("auto", ToolChoice("auto")),
    ("none", ToolChoice("none")),
    ("required", ToolChoice("required")),
    ("any", ToolChoice("required")),
    ({"type": "auto"}, ToolChoice("auto")),
    ({"type": "none"}, ToolChoice("none")),
    ({"type": "any"}, ToolChoice("required")),
    ({"type": "required"}, ToolChoice("required")),
    ({"type": "function", "function": {"name": "look"}}, ToolChoice("required", ("look",))),
    ({"type": "custom", "custom": {"name": "patch"}}, ToolChoice("required", ("patch",))),
    ({"type": "function", "name": "look"}, ToolChoice("required", ("look",))),
    ({"type": "tool", "name": "look"}, ToolChoice("required", ("look",))),
    (allowed("auto", LOOK), ToolChoice("auto", ("look",))),
    (allowed("required", PATCH, LOOK), ToolChoice("required", ("patch", "look"))),
    (allowed("auto"), ToolChoice("none")),
]


@pytest.mark.parametrize(("value", "expected"), CHOICES)
def test_tool_choice(value: Json, expected: ToolChoice) -> None:
    assert choice(value, LOOK, PATCH) == expected


@pytest.mark.parametrize("value", ["auto", "none", None])
def test_tool_choice_without_tools_may_leave_it_to_the_model(value: Json) -> None:
    assert choice(value) == ToolChoice(value or "auto")


@pytest.mark.parametrize("value", ["required", "any", {"type": "any"}, {"type": "web_search_preview"}])
def test_search_cannot_be_demanded_and_is_left_to_the_model(value: Json) -> None:
    names: list[str] = []
    assert decode_tool_choice(value, (), ("tools[0]",), param="tool_choice", ignored=names) == ToolChoice()
    assert names == ["tool_choice"]


def test_function_is_demanded_beside_a_search_but_must_be_there() -> None:
    search = {"type": "web_search"}
    assert choice("required", LOOK, search) == ToolChoice("required")
    for value in ({"type": "function", "function": {"name": "look"}}, allowed("required", LOOK)):
        assert choice(value, LOOK, search) == ToolChoice("required", ("look",))
        with pytest.raises(BadRequest, match=r"^tool_choice "):
            choice(value, search)


def test_function_call_names_its_function_in_an_older_dress() -> None:
    assert choice({"name": "look"}, LOOK, param="function_call") == ToolChoice("required", ("look",))


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


BAD_TOOLS: list[tuple[Json, str]] = [
    *((value, "tools") for value in each(5, "x", {}, LOOK, True)),
    *(([value], "tools[0]") for value in each(None, 5, "look", [])),
    *(([value], "tools[0].function") for value in each({}, {"type": "function"}, {"function": "look"})),
    ([{"type": "function", "name": 5}], "tools[0].function.name"),
    *(
        ([LOOK, {"type": "function", "function": value}], "tools[1].function.name")
        for value in each({}, {"name": None}, {"name": ""}, {"name": 5}, {"name": ["look"]})
    ),
    ([{"type": "function", "function": {"name": "a", "description": 5}}], "tools[0].function.description"),
    ([{"type": "custom"}], "tools[0].custom"),
    ([{"type": "custom", "custom": {"name": ""}}], "tools[0].custom.name"),
    ([{"type": "custom", "custom": {"name": "a", "description": []}}], "tools[0].custom.description"),
]


@pytest.mark.parametrize(("value", "param"), BAD_TOOLS)
def test_bad_tool_is_refused_by_the_name_of_its_field(value: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_tools({"tools": value}, [])
    assert caught.value.param == param
    assert len(caught.value.message) < 300


BAD_FUNCTIONS: list[tuple[Json, str]] = [
    *((value, "functions") for value in each("x", {"name": "a"}, 5)),
    *(([value], "functions[0]") for value in each(None, 5, "look", [])),
    *(([{"name": "a"}, value], "functions[1].name") for value in each({}, {"name": ""}, {"name": 5}, {"name": None})),
    *(([value], "functions[0].name") for value in each(LOOK)),
    ([{"name": "a", "description": 5}], "functions[0].description"),
]


@pytest.mark.parametrize(("value", "param"), BAD_FUNCTIONS)
def test_bad_function_is_refused_by_the_name_of_its_field(value: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_functions({"functions": value}, [])
    assert caught.value.param == param
    assert len(caught.value.message) < 300


BAD_CHOICES = each(
    *("must", "", 5, True, [], {}, ["auto"], {"type": "function"}, {"type": "function", "name": "other"}),
    *({"type": "function", "function": {"name": 5}}, {"type": "function", "function": {"name": "other"}}),
    *({"type": "custom", "custom": {"name": "other"}}, {"type": "web_search"}, {"name": "look"}, {"type": ["auto"]}),
    *(allowed("auto", {"type": "function"}), allowed("auto", "look"), allowed("never", LOOK), allowed("required")),
    *(allowed("auto", PATCH), {"type": "allowed_tools", "mode": "auto", "tools": [LOOK]}),
    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": "look"}},
)


@pytest.mark.parametrize("value", BAD_CHOICES)
def test_bad_tool_choice_is_refused(value: Json) -> None:
    with pytest.raises(BadRequest, match=r"^tool_choice\b") as caught:
        choice(value, LOOK)
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize("value", ["required", {"name": "look"}])
def test_call_cannot_be_demanded_without_tools(value: Json) -> None:
    with pytest.raises(BadRequest, match="function_call demands a call, but there are no tools") as caught:
        choice(value, param="function_call")
    assert caught.value.param == "function_call"


def test_unknown_name_in_a_choice_is_shown() -> None:
    with pytest.raises(BadRequest, match="names 'other', which is not among the tools"):
        choice({"type": "function", "function": {"name": "other"}}, LOOK)

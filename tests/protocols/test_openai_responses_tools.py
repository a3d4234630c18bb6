"""The tools of Responses: functions, custom tools, namespaces, searches, and what of others is listed and echoed."""

import pytest

from agproxy.chat import Tool
from agproxy.errors import BadRequest
from agproxy.protocols.openai_responses_tools import Toolbox, decode_tools
from tests.chat_bodies import Json
from tests.protocols.response_answers import asking, begun

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOK = {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA}
NOW = {"type": "function", "name": "now"}
PATCH = {"type": "custom", "name": "patch", "description": "Patches."}


def box(*tools: Json, ignored: list[str] | None = None) -> Toolbox:
    return decode_tools([("tools", list(tools))], [] if ignored is None else ignored)


def ignored(*tools: Json) -> list[str]:
    names: list[str] = []
    box(*tools, ignored=names)
    return names


def only(*tools: Json) -> Tool:
    """The tool that the model gets, of which nothing is ignored."""
    names: list[str] = []
    (tool,) = box(*tools, ignored=names).tools.values()
    assert names == []
    return tool


def echoed(*tools: Json) -> list[Json]:
    """``tools`` of the Response, which is one by the SDK's types."""
    told: list[Json] = begun(asking(tools=list(tools)))["tools"]
    return told


def namespace(*tools: Json, name: str = "clock", description: Json = "Tells time.", **others: Json) -> Json:
    return {"type": "namespace", "name": name, "description": description, "tools": list(tools), **others}


# Functions.


def test_function_flat_and_nested() -> None:
    nested = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
    for tool in (LOOK, nested, {name: value for name, value in LOOK.items() if name != "type"}):
        assert only(tool) == Tool("look", "Looks.", SCHEMA)
        assert echoed(tool) == [{**LOOK, "strict": None}]


def test_function_may_have_a_name_only() -> None:
    assert only(NOW) == Tool("now", "")
    assert echoed(NOW) == [{**NOW, "description": None, "parameters": None, "strict": None}]


@pytest.mark.parametrize("strict", [True, False, None])
def test_strict_is_echoed_and_listed_if_true(strict: Json) -> None:
    tool = {**LOOK, "strict": strict}
    assert echoed(tool) == [tool]
    assert ignored(tool) == (["tools[].strict"] if strict else [])


@pytest.mark.parametrize("parameters", [[], "x", 5, True])
def test_parameters_that_are_no_object_are_not_echoed(parameters: Json) -> None:
    assert only({**NOW, "parameters": parameters}) == Tool("now", "", parameters)
    assert echoed({**NOW, "parameters": parameters, "strict": "yes"})[0]["parameters"] is None


def test_what_is_not_read_of_a_tool_is_listed() -> None:
    names = ignored({**LOOK, "defer_loading": True, "x": None, "y": 0}, {**PATCH, "allowed_callers": ["direct"]})
    assert names == ["tools[].defer_loading", "tools[].allowed_callers"]
    assert ignored(namespace({**NOW, "defer_loading": True}, x=1)) == ["tools[].x", "tools[0].tools[].defer_loading"]


def test_second_tool_of_a_name_is_left_out_and_listed_unless_it_is_the_same() -> None:
    assert list(box(LOOK, LOOK).tools.values()) == [Tool("look", "Looks.", SCHEMA)]
    assert ignored(LOOK, {**LOOK}) == []
    assert ignored(LOOK, {**LOOK, "description": "Peers."}, {**PATCH, "name": "look"}) == ["tools[1]", "tools[2]"]
    assert len(echoed(LOOK, LOOK)) == 1


# Custom tools.


def test_custom_tool_takes_one_text() -> None:
    for custom in (PATCH, {"type": "custom", "custom": {"name": "patch", "description": "Patches."}}):
        tool = only(custom)
        assert (tool.name, tool.freeform) == ("patch", True)
        assert tool.description.startswith("Patches.")
        assert isinstance(tool.parameters, dict)
        assert tool.parameters["required"] == ["input"]
        assert echoed(custom) == [PATCH]


@pytest.mark.parametrize("syntax", ["lark", "regex"])
def test_grammar_of_a_custom_tool_is_told_in_its_description(syntax: str) -> None:
    grammar = {"type": "grammar", "syntax": syntax, "definition": 'start: "a"+'}
    nested = {"type": "grammar", "grammar": {"syntax": syntax, "definition": 'start: "a"+'}}
    for form in (grammar, nested):
        tool = only({**PATCH, "format": form})
        assert f"this {syntax} grammar" in tool.description
        assert 'start: "a"+' in tool.description
        assert echoed({**PATCH, "format": form}) == [{**PATCH, "format": grammar}]


@pytest.mark.parametrize(
    "form", [{"type": "text"}, None, "text", {"type": "grammar"}, {"type": "x"}, {"grammar": 5}, 5]
)
def test_custom_tool_without_a_grammar_is_described_by_its_own_words(form: Json) -> None:
    assert "grammar" not in only({**PATCH, "format": form}).description
    is_text = form == {"type": "text"}
    assert echoed({**PATCH, "format": form}) == [{**PATCH, "format": form} if is_text else PATCH]


def test_description_of_a_custom_tool_may_be_missing() -> None:
    assert echoed({"type": "custom", "name": "set", "description": None}) == [
        {"type": "custom", "name": "set", "description": ""}
    ]


# Namespaces.


def test_tools_of_a_namespace_get_its_name_and_its_words() -> None:
    found = box(namespace({**LOOK, "name": "now"}, {"type": "custom", "name": "set"}))
    now, set_ = found.tools.values()
    assert now == Tool("clock__now", "Tells time.\n\nLooks.", SCHEMA)
    assert (set_.name, set_.freeform) == ("clock__set", True)
    assert set_.description.startswith("Tells time.\n\n")
    assert found.names == {"clock__now": ("clock", "now"), "clock__set": ("clock", "set")}
    assert not found.left_out
    assert only(namespace({"name": "now"})) == Tool("clock__now", "Tells time.")


@pytest.mark.parametrize("description", ["", None])
def test_namespace_without_words_adds_none(description: Json) -> None:
    assert only(namespace(LOOK, description=description)).description == "Looks."
    assert only(namespace(NOW)).description == "Tells time."
    assert echoed(namespace(NOW, description=description))[0]["description"] == ""


def test_namespace_is_echoed_with_its_tools() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "x"}
    custom = {"type": "custom", "name": "set", "description": "", "format": grammar}
    function = {**LOOK, "name": "now", "strict": False}
    assert echoed(namespace(function, custom)) == [namespace(function, custom)]


def test_tool_is_known_by_its_namespace_and_name() -> None:
    found = box(LOOK, namespace(NOW), namespace(NOW, name="sun"))
    assert [found.given("now", name) for name in ("clock", "sun")] == ["clock__now", "sun__now"]
    assert [found.given("look", name) for name in (None, "")] == ["look", "look"]
    assert found.given("then", "clock") == "clock__then"


def test_flat_name_that_is_taken_gives_way() -> None:
    found = box(namespace(NOW, {"type": "function", "name": "b__c"}), namespace({**NOW, "name": "c"}, name="clock__b"))
    assert found.names == {
        "clock__now": ("clock", "now"),
        "clock__b__c": ("clock", "b__c"),
        "clock__b__c_2": ("clock__b", "c"),
    }
    assert found.given("c", "clock__b") == "clock__b__c_2"
    found = box(namespace(NOW), {**LOOK, "name": "clock__now"}, {**LOOK, "name": "clock__now_2"})
    assert found.names == {"clock__now_3": ("clock", "now")}
    assert found.tools["clock__now"].description == "Looks."


def test_second_tool_of_a_namespace_and_name_is_left_out() -> None:
    assert list(box(namespace(NOW, NOW), namespace(NOW)).tools) == ["clock__now"]
    assert ignored(namespace(NOW), namespace(NOW)) == []
    names = ignored(namespace(NOW, {**NOW, "parameters": SCHEMA}), namespace({**NOW, "type": "custom"}))
    assert names == ["tools[0].tools[1]", "tools[1].tools[0]"]
    assert echoed(namespace(NOW), namespace(NOW)) == echoed(namespace(NOW))


def test_namespace_may_be_empty() -> None:
    assert box(namespace(), namespace(name="sun")).tools == {}
    assert echoed(namespace()) == []


def test_hosted_tool_in_a_namespace_is_listed() -> None:
    found = box(namespace(NOW, {"type": "web_search"}, {"type": 5}))
    assert (list(found.tools), found.left_out) == (["clock__now"], True)
    assert ignored(namespace(NOW, {"type": "web_search"}, {"type": 5})) == [
        *("tools[0].tools[1].web_search", "tools[0].tools[2]"),
    ]


# Hosted tools.


@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"]
)
@pytest.mark.parametrize("others", [{}, {"external_web_access": True}, {"filters": None, "user_location": None}])
def test_search_of_the_web_is_served(kind: str, others: Json) -> None:
    names: list[str] = []
    found = box(LOOK, {"type": kind, **others}, ignored=names)
    assert (found.searches, found.left_out, names) == (["tools[1]"], False, [])
    assert echoed({"type": kind, **others}) == [{"type": "web_search"}]


def test_options_of_a_search_are_listed() -> None:
    search = {"type": "web_search", "search_context_size": "low", "filters": {"allowed_domains": ["a.co"]}, "x": None}
    assert ignored({**search, "external_web_access": True, "search_content_types": ["text"]}) == [
        *("tools[0].search_context_size", "tools[0].filters", "tools[0].search_content_types"),
    ]


def test_search_of_what_is_stored_is_left_out_and_listed() -> None:
    search = {"type": "web_search", "external_web_access": False}
    assert (box(search).searches, box(search).left_out) == ([], True)
    assert ignored(LOOK, search) == ["tools[1].web_search"]
    assert echoed(search) == []


HOSTED: list[Json] = [
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "computer"},
    {"type": "computer_use_preview", "display_height": 1, "display_width": 1, "environment": "browser"},
    {"type": "mcp", "server_label": "s", "server_url": "https://example.com/"},
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": SCHEMA},
    {"type": "programmatic_tool_calling"},
    {"type": "nonsense"},
]


@pytest.mark.parametrize("tool", HOSTED, ids=lambda tool: str(tool["type"]))
def test_hosted_tool_is_left_out_and_listed(tool: Json) -> None:
    found = box(LOOK, tool)
    assert (list(found.tools), found.searches, found.left_out) == (["look"], [], True)
    assert ignored(LOOK, tool) == [f"tools[1].{tool['type']}"]
    assert echoed(LOOK, tool) == echoed(LOOK)


@pytest.mark.parametrize("kind", [None, 5, [], {}])
def test_tool_whose_type_is_no_word_is_listed(kind: Json) -> None:
    assert ignored({"type": kind, "name": "x"}) == ["tools[0]"]


# Several lists, and what is refused.


def test_tools_within_the_input_count_too() -> None:
    lists = [("tools", [LOOK]), ("input[0].tools", [namespace(NOW), PATCH, LOOK]), ("input[3].tools", [namespace(NOW)])]
    names: list[str] = []
    found = decode_tools(lists, names)
    assert list(found.tools) == ["look", "patch", "clock__now"]
    assert names == []
    decode_tools([("input[0].tools", [{**NOW, "strict": True}, {"type": "mcp"}, 5])][:0], names)
    decode_tools([("input[0].tools", [{**NOW, "strict": True}, {"type": "mcp"}])], names)
    assert names == ["input[0].tools[].strict", "input[0].tools[1].mcp"]


def test_there_may_be_no_tools() -> None:
    assert box() == Toolbox()
    assert echoed() == []


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (5, ""),
        (None, ""),
        ("look", ""),
        ({"type": "function"}, ".name"),
        ({"type": "function", "name": ""}, ".name"),
        ({"type": "function", "name": 5}, ".name"),
        ({"type": "function", "name": "f", "description": 5}, ".description"),
        ({"type": "custom"}, ".name"),
        ({"type": "custom", "name": ""}, ".name"),
        ({"type": "namespace", "tools": []}, ".name"),
        (namespace(name=""), ".name"),
        (namespace(description=5), ".description"),
        ({"type": "namespace", "name": "n", "tools": {}}, ".tools"),
        (namespace(5), ".tools[0]"),
        (namespace({"type": "function"}), ".tools[0].name"),
        (namespace({"type": "custom", "name": ""}), ".tools[0].name"),
    ],
)
def test_tool_that_cannot_be_taken_is_named(tool: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        box(LOOK, tool)
    assert caught.value.param == f"tools[1]{param}"

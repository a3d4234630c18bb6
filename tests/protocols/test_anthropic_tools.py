"""Tools of Anthropic's: those of the client, those whose schema is implied, those of servers, and the choice."""

from typing import Any

import pytest

from agproxy.chat import Tool, ToolChoice
from agproxy.errors import BadRequest
from agproxy.protocols.anthropic_request import decode_request
from tests.message_bodies import CACHED, HELLO, Json, system

SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
LOOK = {"name": "look", "description": "Looks.", "input_schema": SCHEMA}
RUN = {"name": "run", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
LOOKED = Tool("look", "Looks.", SCHEMA)


def decoded(*tools: Json, messages: Json = (), **fields: Json) -> Any:
    return decode_request({"model": "m", "messages": [HELLO, *messages], "tools": list(tools), **fields})


def tools(*values: Json) -> tuple[Tool, ...]:
    """The tools of a request of which nothing is ignored."""
    chat = decoded(*values)
    assert (chat.ignored, chat.web_search) == ((), ())
    found: tuple[Tool, ...] = chat.tools
    return found


def refused(*values: Json, **fields: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decoded(*values, **fields)
    assert caught.value.message
    return caught.value


# Tools of the client.


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "custom"}])
def test_tool_with_and_without_type(kind: Json) -> None:
    assert tools({**LOOK, **kind}) == (LOOKED,)


def test_order_of_tools_is_kept() -> None:
    assert [tool.name for tool in tools(RUN, LOOK, {"name": "a"})] == ["run", "look", "a"]


@pytest.mark.parametrize("value", [None, []])
def test_there_may_be_no_tools(value: Json) -> None:
    assert decode_request({"model": "m", "messages": [HELLO], "tools": value}).tools == ()


@pytest.mark.parametrize("description", [None, "", ...])
def test_tool_needs_no_description(description: Json) -> None:
    others = {} if description is ... else {"description": description}
    assert tools({"name": "look", "input_schema": SCHEMA, **others}) == (Tool("look", "", SCHEMA),)


@pytest.mark.parametrize("schema", [None, {}, {"$ref": "#/$defs/x", "$defs": {"x": {}}}])
def test_schema_is_handed_on_as_it_is(schema: Json) -> None:
    assert tools({"name": "look", "input_schema": schema}) == (Tool("look", "", schema),)


@pytest.mark.parametrize("schema", ["string", "", [1], [], 5, 0, True, False])
def test_schema_that_is_no_object_is_refused_by_its_place(schema: Json) -> None:
    tool = {"name": "bad", "input_schema": schema}
    assert refused(LOOK, tool).param == "tools[1].input_schema"
    assert refused(LOOK, {**tool, "type": "custom"}).param == "tools[1].input_schema"
    added = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool}}
    error = refused(LOOK, messages=[system(added)])
    assert error.param == "messages[1].content[0].tool.definition.input_schema"


def test_examples_of_the_input_are_told_in_the_description() -> None:
    (tool,) = tools({**LOOK, "input_examples": [{"at": "Köln"}, {"at": "sky"}]})
    assert tool.description.startswith("Looks.")
    assert tool.description.index('{"at":"Köln"}') < tool.description.index('{"at":"sky"}')
    assert tools({**LOOK, "input_examples": []}) == (LOOKED,)


@pytest.mark.parametrize(
    "extra",
    [
        {"defer_loading": True},
        {"eager_input_streaming": True},
        {"allowed_callers": ["direct"]},
        {"cache_control": None, "strict": False, "eager_input_streaming": None},
    ],
)
def test_what_changes_nothing_for_gemini_is_not_listed(extra: Json) -> None:
    assert tools({**LOOK, **extra}) == (LOOKED,)


@pytest.mark.parametrize(
    ("extra", "listed"),
    [
        ({"strict": True}, "tools[].strict"),
        ({"allowed_callers": ["code_execution_20250825"]}, "tools[].allowed_callers"),
        ({"cache_control": CACHED}, "cache_control"),
        ({"colour": "red"}, "tools[].colour"),
    ],
)
def test_what_is_not_honoured_is_listed(extra: Json, listed: str) -> None:
    chat = decoded({**LOOK, **extra}, {**RUN, **extra})
    assert ([tool.name for tool in chat.tools], chat.ignored) == (["look", "run"], (listed,))


def test_stand_in_for_tools_to_come_is_left_out() -> None:
    stand_in = {"name": "DeferredToolPlaceholder", "input_schema": {"type": "object"}, "defer_loading": True}
    assert tools(LOOK, stand_in) == (LOOKED,)
    assert len(tools(LOOK, {**stand_in, "defer_loading": False})) == 2


@pytest.mark.parametrize("second", [LOOK, {"type": "bash_20250124", "name": "look"}])
def test_name_that_stands_twice_counts_once(second: Json) -> None:
    chat = decoded(LOOK, second)
    assert (chat.tools, chat.ignored) == ((LOOKED,), ("tools[1]",))


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (5, "tools[1]"),
        ("look", "tools[1]"),
        ({}, "tools[1].name"),
        ({"name": None}, "tools[1].name"),
        ({"name": ""}, "tools[1].name"),
        ({"name": ["a"]}, "tools[1].name"),
        ({"type": 5, "name": "a"}, "tools[1].type"),
        ({"type": ["custom"], "name": "a"}, "tools[1].type"),
        ({"name": "a", "description": 5}, "tools[1].description"),
        ({"name": "a", "input_examples": {"at": 1}}, "tools[1].input_examples"),
        ({**SEARCH, "name": []}, "tools[1].name"),
        ({**SEARCH, "name": 5}, "tools[1].name"),
    ],
)
def test_other_tool_is_refused_by_its_place(value: Json, param: str) -> None:
    assert refused(LOOK, value).param == param


def test_tool_without_name_is_said_to_miss_it() -> None:
    assert refused({"description": "x"}).code == "missing_required_parameter"


def test_tools_are_an_array() -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request({"model": "m", "messages": [HELLO], "tools": {"look": LOOK}})
    assert caught.value.param == "tools"


# Tools whose schema is implied, and tools of servers.


@pytest.mark.parametrize(
    ("kind", "name", "properties"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("bash_20241022", "sh", {"command", "restart"}),
        (
            "text_editor_20250728",
            "str_replace_based_edit_tool",
            {"command", "path", "view_range", "file_text", "old_str", "new_str", "insert_line", "insert_text"},
        ),
        (
            "memory_20250818",
            "memory",
            {
                *("command", "path", "view_range", "file_text", "old_str", "new_str", "insert_line", "insert_text"),
                *("old_path", "new_path"),
            },
        ),
    ],
)
def test_tool_of_the_client_with_an_implied_schema_is_declared(kind: str, name: str, properties: set[str]) -> None:
    (tool,) = tools({"type": kind, "name": name})
    schema: Any = tool.parameters
    assert tool.name == name
    assert tool.description
    assert schema["type"] == "object"
    assert set(schema["properties"]) == properties
    assert set(schema["required"]) <= properties
    assert all(each.get("type") for each in schema["properties"].values())


COMMANDS = ["view", "create", "str_replace", "insert"]


def test_implied_schemas_say_what_clients_take() -> None:
    kinds = ["bash_20250124", "text_editor_20250728", "memory_20250818"]
    schemas: list[Any] = [tool.parameters for tool in tools(*({"type": kind, "name": kind} for kind in kinds))]
    bash, editor, memory = (schema["properties"] for schema in schemas)
    assert [schema["required"] for schema in schemas] == [[], ["command", "path"], ["command"]]
    assert editor["command"] == {"type": "string", "enum": COMMANDS}
    assert memory["command"] == {"type": "string", "enum": [*COMMANDS, "delete", "rename"]}
    pair = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    for properties in (editor, memory):
        assert {**properties["view_range"], "description": ""} == {**pair, "description": ""}
        assert properties["insert_line"]["type"] == "integer"
    assert bash["restart"]["type"] == "boolean"
    texts = [editor[name] for name in ("path", "file_text", "old_str", "new_str", "insert_text")]
    texts += [bash["command"], *(memory[name] for name in ("path", "file_text", "old_path", "new_path"))]
    assert {each["type"] for each in texts} == {"string"}
    described = [
        each for properties in (bash, editor, memory) for name, each in properties.items() if name != "command"
    ]
    assert all(each["description"] for each in described)


@pytest.mark.parametrize(
    "kind",
    [
        *("code_execution_20250825", "web_fetch_20250910", "computer_20250124", "tool_search_tool_regex_20251119"),
        *("mcp_toolset", "browser_toolset_20260801", "telescope_20300101"),
    ],
)
def test_tool_that_nobody_here_can_run_is_listed(kind: str) -> None:
    chat = decoded(LOOK, {"type": kind, "name": "x"})
    assert (chat.tools, chat.ignored) == ((LOOKED,), ("tools[1]",))


@pytest.mark.parametrize("name", [None, "", 5, ["bash"], ...])
def test_implied_tool_without_name_is_listed_or_refused(name: Json) -> None:
    tool = {"type": "bash_20250124"} if name is ... else {"type": "bash_20250124", "name": name}
    try:
        chat = decoded(tool)
    except BadRequest as error:
        assert error.param == "tools[0].name"  # noqa: PT017
    else:
        assert (chat.tools, chat.ignored) == ((), ("tools[0]",))


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_search_20260209", "web_search_20260318"])
def test_search_of_the_web_is_asked_for(kind: str) -> None:
    chat = decoded({"type": kind, "name": "web_search"})
    assert (chat.tools, chat.web_search, chat.ignored) == ((), ("tools[0]",), ())


def test_search_of_the_web_needs_no_name() -> None:
    gone = change("tool_removal", "web_search")
    assert decoded({"type": "web_search_20250305"}).web_search == ("tools[0]",)
    assert decoded({"type": "web_search_20250305"}, messages=[system(gone)]).web_search == ()


def test_search_of_the_web_may_stand_beside_tools() -> None:
    chat = decoded(LOOK, SEARCH)
    assert (chat.tools, chat.web_search) == ((LOOKED,), ("tools[1]",))


def test_settings_of_a_search_are_listed() -> None:
    chat = decoded({**SEARCH, "max_uses": 8, "allowed_domains": ["a.co"], "blocked_domains": None, "user_location": {}})
    assert chat.web_search == ("tools[0]",)
    assert chat.ignored == ("tools[0].max_uses", "tools[0].allowed_domains")


def test_search_and_tool_of_one_name_are_not_both_taken_in_silence() -> None:
    for values in ([SEARCH, {**LOOK, "name": "web_search"}], [{**LOOK, "name": "web_search"}, SEARCH]):
        chat = decoded(*values)
        assert len(chat.tools) + len(chat.web_search) + len(chat.ignored) >= 2


# Tools that messages add and take away.


def change(kind: str, name: str = "look", of: str = "tool_reference", **others: Json) -> Json:
    return {"type": kind, "tool": {"type": of, "name": name, **others}}


REMOVED, ADDED = change("tool_removal"), change("tool_addition")
DEFINED = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": RUN}}


def offered(*changes: Json, first: Json = (LOOK,)) -> list[str]:
    """The names of the tools after changes, each in a message of its own, of which nothing is ignored."""
    chat = decoded(*first, messages=[system(each) for each in changes])
    assert chat.ignored == ()
    return [tool.name for tool in chat.tools]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([], ["look"]),
        ([REMOVED], []),
        ([ADDED], ["look"]),
        ([REMOVED, ADDED], ["look"]),
        ([REMOVED, ADDED, REMOVED], []),
        ([DEFINED], ["look", "run"]),
        ([DEFINED, change("tool_removal", "run")], ["look"]),
        ([DEFINED, change("tool_removal", "run"), change("tool_addition", "run")], ["look", "run"]),
        ([change("tool_removal", "nobody")], ["look"]),
    ],
)
def test_changes_hold_in_their_order(changes: Json, names: list[str]) -> None:
    assert offered(*changes) == names


def test_tool_that_a_message_defines_is_read_like_others() -> None:
    (_, tool) = decoded(LOOK, messages=[system(DEFINED)]).tools
    assert tool == Tool("run", "", {"type": "object"})


def test_search_is_taken_away_and_added_too() -> None:
    gone, back = change("tool_removal", "web_search"), change("tool_addition", "web_search")
    assert decoded(SEARCH, messages=[system(gone)]).web_search == ()
    assert decoded(SEARCH, messages=[system(gone), HELLO, system(back)]).web_search == ("tools[0]",)


@pytest.mark.parametrize("of", ["mcp_tool_reference", "mcp_toolset_reference"])
def test_tool_of_an_mcp_server_cannot_be_added(of: str) -> None:
    chat = decoded(LOOK, messages=[system(change("tool_addition", "read", of, server_name="s"))])
    assert ([tool.name for tool in chat.tools], chat.ignored) == (["look"], ("messages[].content[].tool_addition",))


def test_tools_of_a_message_that_is_gone_are_still_offered() -> None:
    chat = decoded(LOOK, messages=[system(DEFINED, "Once.", clear_at="next_user_message"), HELLO])
    assert [tool.name for tool in chat.tools] == ["look", "run"]


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "tool_addition"}, "messages[1].content[0].tool"),
        ({"type": "tool_removal", "tool": "look"}, "messages[1].content[0].tool"),
        (change("tool_addition", of="tool_definition"), "messages[1].content[0].tool.definition"),
        (
            {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}},
            "messages[1].content[0].tool.definition.name",
        ),
    ],
)
def test_other_change_is_refused_by_its_place(block: Json, param: str) -> None:
    assert refused(LOOK, messages=[system(block)]).param == param


# The choice.


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "run"}, ToolChoice("required", ("run",))),
    ],
)
def test_choice(choice: Json, expected: ToolChoice) -> None:
    chat = decoded(LOOK, RUN, tool_choice=choice)
    assert (chat.tool_choice, chat.parallel_calls, chat.ignored) == (expected, True, ())


@pytest.mark.parametrize(
    "kind", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "look"}, {"type": "none"}]
)
@pytest.mark.parametrize(("value", "parallel"), [(True, False), (False, True), (None, True)])
def test_several_calls_at_once_can_be_declined(kind: Json, value: Json, parallel: bool) -> None:
    chat = decoded(LOOK, tool_choice={**kind, "disable_parallel_tool_use": value})
    assert chat.parallel_calls is parallel


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "look"}])
def test_what_is_not_read_of_the_choice_is_listed(choice: Json) -> None:
    chat = decoded(LOOK, tool_choice={**choice, "colour": "red", "disable_parallel_tool_use": True, "none": None})
    assert (chat.parallel_calls, chat.ignored) == (False, ("tool_choice.colour",))


@pytest.mark.parametrize("kind", ["auto", "none"])
def test_choice_without_tools(kind: str) -> None:
    assert decoded(tool_choice={"type": kind}).tool_choice.names == ()


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "web_search"}])
def test_call_that_only_a_server_could_answer_is_not_demanded(choice: Json) -> None:
    chat = decoded(SEARCH, tool_choice=choice)
    assert (chat.tool_choice, chat.web_search, chat.ignored) == (ToolChoice(), ("tools[0]",), ("tool_choice",))


def test_tool_that_a_message_defines_may_be_chosen() -> None:
    chat = decoded(LOOK, messages=[system(DEFINED)], tool_choice={"type": "tool", "name": "run"})
    assert chat.tool_choice == ToolChoice("required", ("run",))


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("auto", "tool_choice"),
        (5, "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": None}, "tool_choice.type"),
        ({"type": "required"}, "tool_choice.type"),
        ({"type": ["auto"]}, "tool_choice.type"),
        ({"type": "tool"}, "tool_choice.name"),
        ({"type": "tool", "name": 5}, "tool_choice.name"),
        ({"type": "tool", "name": "nobody"}, "tool_choice"),
        ({"type": "tool", "name": ""}, "tool_choice"),
        ({"type": "auto", "disable_parallel_tool_use": "yes"}, "tool_choice.disable_parallel_tool_use"),
    ],
)
def test_other_choice_is_refused(choice: Json, param: str) -> None:
    assert refused(LOOK, {"type": "code_execution_20250825", "name": []}, tool_choice=choice).param == param


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look"}])
def test_call_without_tools_is_refused(choice: Json) -> None:
    assert refused(tool_choice=choice).param == "tool_choice"

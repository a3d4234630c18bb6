"""``tool_choice`` of Responses in each of its forms, and what the Response tells of it."""

import pytest

from agproxy.chat import ToolChoice
from agproxy.errors import BadRequest
from agproxy.protocols.openai_responses_request import decode_request
from tests.chat_bodies import Json
from tests.protocols.response_answers import asking, begun

LOOK = {"type": "function", "name": "look"}
PATCH = {"type": "custom", "name": "patch"}
CLOCK = {"type": "namespace", "name": "clock", "tools": [{"type": "function", "name": "now"}, {**PATCH, "name": "set"}]}
SEARCH = {"type": "web_search"}
FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}
ALL = (LOOK, PATCH, CLOCK)
AUTO = ToolChoice()
LEFT_TO_THE_MODEL = (AUTO, ["tool_choice"])


def choice(value: Json, *tools: Json) -> tuple[ToolChoice, list[str]]:
    """The choice, and what of it is ignored; tools that are left out are not told of."""
    chat = decode_request({"model": "m", "input": "Hi", "tool_choice": value, "tools": list(tools)})
    return chat.tool_choice, [name for name in chat.ignored if not name.startswith("tools")]


def told(value: Json, *tools: Json) -> Json:
    """``tool_choice`` of the Response, which is one by the SDK's types."""
    return begun(asking(tool_choice=value, tools=list(tools)))["tool_choice"]


def allowed(*entries: Json, mode: str = "auto") -> Json:
    return {"type": "allowed_tools", "mode": mode, "tools": list(entries)}


def refused(value: Json, *tools: Json) -> str:
    with pytest.raises(BadRequest) as caught:
        choice(value, *tools)
    assert (caught.value.status, caught.value.param) == (400, "tool_choice")
    return caught.value.message


# Words.


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        *((None, "auto"), ("auto", "auto"), ("none", "none"), ("required", "required"), ("any", "required")),
        *(({"type": "auto"}, "auto"), ({"type": "none"}, "none")),
        *(({"type": "required"}, "required"), ({"type": "any"}, "required")),
    ],
)
def test_words(value: Json, mode: str) -> None:
    assert choice(value, LOOK) == (ToolChoice(mode), [])  # type: ignore[arg-type]
    assert told(value, LOOK) == mode


@pytest.mark.parametrize("value", ["auto", "none", None])
def test_without_tools_nothing_is_demanded(value: Json) -> None:
    assert choice(value)[1] == []


@pytest.mark.parametrize("value", ["required", "any", LOOK, {"type": "custom", "name": "x"}, SEARCH, FILES])
def test_demand_without_tools_is_refused(value: Json) -> None:
    assert refused(value)


@pytest.mark.parametrize("value", ["required", "any"])
@pytest.mark.parametrize("tool", [SEARCH, FILES, {"type": "web_search", "external_web_access": False}])
def test_demand_of_tools_that_are_not_functions_is_left_to_the_model(value: Json, tool: Json) -> None:
    assert choice(value, tool) == LEFT_TO_THE_MODEL
    assert choice(value, tool, LOOK) == (ToolChoice("required"), [])


# One tool.


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (LOOK, "look"),
        ({"type": "tool", "name": "look"}, "look"),
        ({"type": "function", "function": {"name": "look"}}, "look"),
        (PATCH, "patch"),
        ({"type": "custom", "custom": {"name": "patch"}}, "patch"),
        ({"type": "function", "name": "now", "namespace": "clock"}, "clock__now"),
        ({"type": "custom", "name": "set", "namespace": "clock"}, "clock__set"),
        ({"type": "function", "name": "look", "namespace": None}, "look"),
        ({"type": "function", "name": "look", "namespace": 5}, "look"),
    ],
)
def test_one_tool_may_be_demanded(value: Json, name: str) -> None:
    assert choice(value, *ALL) == (ToolChoice("required", (name,)), [])


@pytest.mark.parametrize(
    ("value", "echo"),
    [
        (LOOK, LOOK),
        (PATCH, PATCH),
        ({"type": "function", "function": {"name": "look"}}, LOOK),
        ({"type": "custom", "custom": {"name": "patch"}}, PATCH),
        (
            {"type": "function", "name": "now", "namespace": "clock"},
            {"type": "function", "name": "now", "namespace": "clock"},
        ),
    ],
)
def test_demand_of_one_tool_is_told(value: Json, echo: Json) -> None:
    assert told(value, *ALL) == echo


@pytest.mark.parametrize(
    "value",
    [
        {"type": "function", "name": "nonsense"},
        {"type": "custom", "name": "nonsense"},
        {"type": "function", "name": "now"},
        {"type": "function", "name": "look", "namespace": "clock"},
        {"type": "function", "name": "now", "namespace": "sun"},
    ],
)
def test_demand_of_a_tool_that_is_not_there_is_refused(value: Json) -> None:
    assert "is not among the tools" in refused(value, *ALL)


# Hosted tools.


HOSTED = [
    "web_search",
    "web_search_preview",
    "file_search",
    "mcp",
    "shell",
    "apply_patch",
    "computer",
    "image_generation",
]


@pytest.mark.parametrize("kind", HOSTED)
def test_demand_of_a_hosted_tool_that_is_left_out_is_left_to_the_model(kind: str) -> None:
    tool = {"type": kind, "external_web_access": False}
    assert choice({"type": kind, "server_label": "s"}, tool, LOOK) == LEFT_TO_THE_MODEL
    assert told({"type": kind, "server_label": "s"}, tool, LOOK) == "auto"


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview"])
def test_demand_of_a_search_is_left_to_the_model(kind: str) -> None:
    assert choice({"type": kind}, SEARCH) == LEFT_TO_THE_MODEL
    assert told({"type": kind}, SEARCH) == "auto"


@pytest.mark.parametrize("kind", HOSTED)
def test_demand_of_a_hosted_tool_that_is_not_there_is_refused(kind: str) -> None:
    assert repr(kind) in refused({"type": kind}, LOOK)


# Allowed tools.


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ([LOOK], ("look",)),
        ([PATCH, LOOK], ("patch", "look")),
        ([{"type": "namespace", "name": "clock"}], ("clock__now", "clock__set")),
        ([{"type": "function", "name": "now", "namespace": "clock"}], ("clock__now",)),
        ([{"type": "custom", "name": "set", "namespace": "clock"}, LOOK], ("clock__set", "look")),
        ([{"type": "function", "function": {"name": "look"}}], ("look",)),
        ([{"type": "custom", "custom": {"name": "patch"}}], ("patch",)),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_limit_the_choice(entries: list[Json], names: tuple[str, ...], mode: str) -> None:
    value = allowed(*entries, mode=mode)
    assert choice(value, *ALL) == (ToolChoice(mode, names), [])  # type: ignore[arg-type]
    assert told(value, *ALL) == value


def test_allowed_tools_may_stand_as_in_chat_completions() -> None:
    inner = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}]}
    value = {"type": "allowed_tools", "allowed_tools": inner}
    assert choice(value, *ALL) == (ToolChoice("required", ("look",)), [])
    assert told(value, *ALL) == {"type": "allowed_tools", **inner}


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_hosted_tool_that_is_allowed_is_listed(mode: str) -> None:
    entries = [{"type": "image_generation"}, LOOK, {"type": "mcp", "server_label": "s"}, {"type": "web_search"}]
    found, ignored = choice(allowed(*entries, mode=mode), *ALL, {"type": "image_generation"})
    assert found == ToolChoice(mode, ("look",))  # type: ignore[arg-type]
    assert ignored == ["tool_choice.tools[0]", "tool_choice.tools[2]", "tool_choice.tools[3]"]


def test_search_that_is_not_allowed_is_not_made() -> None:
    body = {"model": "m", "input": "Hi", "tools": [LOOK, SEARCH]}
    chat = decode_request({**body, "tool_choice": allowed(LOOK)})
    assert (chat.web_search, chat.ignored) == ((), ())
    chat = decode_request({**body, "tool_choice": allowed(LOOK, FILES)})
    assert (chat.web_search, chat.ignored) == ((), ("tool_choice.tools[1]",))
    chat = decode_request({**body, "tool_choice": allowed(LOOK, {"type": "web_search_preview"})})
    assert (chat.web_search, chat.ignored) == (("tools[1]",), ())


@pytest.mark.parametrize(
    ("entries", "tools", "mode", "listed"),
    [
        ([], [LOOK], "none", []),
        ([], [SEARCH], "none", []),
        ([FILES], [SEARCH], "none", ["tool_choice.tools[0]"]),
        ([SEARCH], [SEARCH], "auto", []),
        ([SEARCH], [SEARCH, LOOK], "none", []),
        ([FILES], [FILES, LOOK], "none", ["tool_choice.tools[0]"]),
        ([{"type": "namespace", "name": "sun"}], [CLOCK], "none", []),
    ],
)
def test_where_no_function_is_allowed_none_is_called(
    entries: list[Json], tools: list[Json], mode: str, listed: list[str]
) -> None:
    assert choice(allowed(*entries), *tools) == (ToolChoice(mode), listed)  # type: ignore[arg-type]
    found, ignored = choice(allowed(*entries, mode="required"), *tools)
    assert (found.mode, ignored) == (mode, [*listed, "tool_choice"])


@pytest.mark.parametrize(
    "value",
    [
        allowed({"type": "function", "name": "nonsense"}),
        allowed({"type": "function", "name": "now"}),
        allowed({"type": "function", "function": {"name": "nonsense"}}),
        allowed({"type": "custom", "name": "set", "namespace": "sun"}),
        allowed("look"),
        allowed(5),
        allowed({}),
        allowed({"name": "look"}),
        allowed({"type": 5}),
        allowed(LOOK, mode="any"),
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "mode": "auto"},
        {"type": "allowed_tools", "mode": "auto", "tools": {}},
        *("sometimes", 5, [], {}, {"type": 5}, {"type": "function"}, {"type": "function", "name": 5}, True),
        {"type": "tool"},
        {"type": "custom", "custom": {}},
    ],
)
def test_what_is_no_choice_is_refused(value: Json) -> None:
    assert refused(value, *ALL)
    assert refused(value, *ALL, FILES)

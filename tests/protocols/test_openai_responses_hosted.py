"""Items of hosted tools in a history: the model reads their calls and results, and every item of the SDK is decided."""

import json
from typing import get_args, get_type_hints

import pytest
from openai.types.responses.response_input_param import ResponseInputItemParam

from agproxy.chat import AttachmentPart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from agproxy.errors import BadRequest, NotStored
from agproxy.protocols.openai_responses_items import decode_items, listed_tools
from tests.chat_bodies import PNG, Json

SIGNED = {"google": {"thought_signature": "QUJD"}}
LINK = "https://example.com/screen.png"


def decoded(*values: Json) -> tuple[list[Message], list[str]]:
    """The messages that the items are, and what of them is ignored."""
    ignored: list[str] = []
    items = [(f"input[{position}]", value) for position, value in enumerate(values)]
    return decode_items(items, lambda name, namespace: name, ignored), ignored


def parts(*values: Json) -> list[Part]:
    """All parts of the items, of which nothing is ignored."""
    messages, ignored = decoded(*values)
    assert ignored == []
    for each in messages:
        assert each.role in ("tool", "assistant")
        assert {isinstance(part, ToolResultPart) for part in each.parts} == {each.role == "tool"}
    return [part for each in messages for part in each.parts]


def text_of(part: Part) -> str:
    """The text of a result."""
    assert isinstance(part, ToolResultPart)
    assert part.name == ""
    (text,) = part.parts
    assert isinstance(text, TextPart)
    return text.text


# Calls whose results are items of their own.


def test_local_shell_call_and_its_output_which_may_be_known_by_an_older_id() -> None:
    action = {"type": "exec", "command": ["ls"], "env": {}}
    call = {"type": "local_shell_call", "id": "lsh_1", "call_id": "a", "action": action, "status": "completed"}
    output = {"type": "local_shell_call_output", "output": "a.py"}
    assert parts(call, {**output, "call_id": "a"}) == [
        ToolCallPart("a", "local_shell", action),
        ToolResultPart("a", "", (TextPart("a.py"),)),
    ]
    found, answer = parts({**call, "call_id": None}, {**output, "id": "lsh_1"})
    assert isinstance(found, ToolCallPart)
    assert isinstance(answer, ToolResultPart)
    assert (found.id, answer.id) == ("lsh_1", "lsh_1")


def test_shell_call_and_its_output() -> None:
    action = {"commands": ["ls"], "timeout_ms": None}
    written = [{"stdout": "a.py", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    call, answer = parts(
        {"type": "shell_call", "id": "sh_1", "call_id": "a", "action": action, "caller": {"type": "direct"}},
        {"type": "shell_call_output", "call_id": "a", "output": written, "max_output_length": 100},
    )
    assert call == ToolCallPart("a", "shell", action)
    assert json.loads(text_of(answer)) == written


def test_apply_patch_call_and_its_output_which_may_tell_its_status_only() -> None:
    operation = {"type": "create_file", "path": "a.py", "diff": "+x"}
    call = {"type": "apply_patch_call", "call_id": "a", "operation": operation, "status": "completed"}
    output = {"type": "apply_patch_call_output", "call_id": "a", "status": "failed"}
    assert parts(call) == [ToolCallPart("a", "apply_patch", operation)]
    assert [text_of(part) for part in parts({**output, "output": "no such file"})] == ["no such file"]
    for others in ({}, {"output": None}):
        assert [text_of(part) for part in parts({**output, **others})] == ['{"status":"failed"}']


def test_computer_call_and_its_screenshot() -> None:
    action = {"type": "click", "x": 1, "y": 2, "button": "left"}
    call = {"type": "computer_call", "id": "cu_1", "call_id": "a", "pending_safety_checks": [], "status": "completed"}
    screenshot = {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"}
    output = {"type": "computer_call_output", "call_id": "a", "output": screenshot}
    assert parts({**call, "action": action}, output) == [
        ToolCallPart("a", "computer", action),
        ToolResultPart("a", "", (AttachmentPart("image/png", PNG),)),
    ]
    assert parts({**call, "actions": [action], "action": None}) == [
        ToolCallPart("a", "computer", {"pending_safety_checks": [], "actions": [action]})
    ]
    linked = {**output, "output": {"type": "computer_screenshot", "image_url": LINK}}
    assert parts(linked) == [ToolResultPart("a", "", (AttachmentPart("image/png", url=LINK),))]
    stored = {"type": "computer_screenshot", "file_id": "file-1"}
    assert json.loads(text_of(parts({**output, "output": stored})[0])) == stored


def test_screenshot_that_cannot_be_taken_is_named() -> None:
    with pytest.raises(BadRequest) as caught:
        decoded(
            {
                "type": "computer_call_output",
                "call_id": "a",
                "output": {"type": "computer_screenshot", "image_url": "x"},
            }
        )
    assert caught.value.param == "input[0].output.image_url"


def test_search_for_tools_and_how_many_it_found() -> None:
    call = {"type": "tool_search_call", "id": "ts_1", "execution": "client", "arguments": {"query": "files"}}
    output = {"type": "tool_search_output", "id": "tso_1", "execution": "client", "tools": [{}, {}]}
    for call_id in ("a", None):
        found, answer = parts({**call, "call_id": call_id}, {**output, "call_id": call_id})
        assert isinstance(found, ToolCallPart)
        assert isinstance(answer, ToolResultPart)
        assert (found.name, found.arguments, text_of(answer)) == ("tool_search", {"query": "files"}, '{"tools":2}')
        assert found.id == answer.id == (call_id or "tool_search")


def test_call_of_a_tool_unknown_here_is_one_of_what_it_holds() -> None:
    about = {
        "id": "t_1",
        "status": "completed",
        "created_by": "me",
        "caller": {"type": "direct"},
        "execution": "client",
    }
    call = {"type": "telescope_call", "call_id": "a", **about, "container_id": "c", "at": "sky", "x": None}
    assert parts(call, {"type": "telescope_call_output", "call_id": "a", "output": "stars"}) == [
        ToolCallPart("a", "telescope", {"at": "sky"}),
        ToolResultPart("a", "", (TextPart("stars"),)),
    ]


@pytest.mark.parametrize("kind", ["shell_call", "computer_call_output", "apply_patch_call", "telescope_call"])
def test_hosted_call_without_an_id_is_refused(kind: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decoded({"type": kind, "id": "x_1", "action": {}, "output": "x"})
    assert (caught.value.param, caught.value.code) == ("input[0].call_id", "missing_required_parameter")


def test_older_id_of_a_shell_call_is_a_text() -> None:
    with pytest.raises(BadRequest) as caught:
        decoded({"type": "local_shell_call", "id": 5, "action": {}})
    assert caught.value.param == "input[0].id"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "computer_call", "call_id": "a", "action": {"x": 10**400}},
        {"type": "code_interpreter_call", "id": "a", "code": [10**400]},
        {"type": "mcp_call", "id": "a", "name": "f", "arguments": '{"x": 1e400}'},
    ],
)
def test_call_that_holds_more_than_gemini_takes_is_kept_as_text(item: Json) -> None:
    call = parts(item)[0]
    assert isinstance(call, ToolCallPart)
    assert list(call.arguments) == ["input"]
    assert isinstance(call.arguments["input"], str)


# Calls that hold their results.


def test_call_that_holds_its_result_is_a_call_and_a_result() -> None:
    call, answer = parts(
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "files",
            "name": "read",
            "arguments": '{"path":"a.py"}',
            "output": "x",
            "error": None,
            "status": "completed",
        }
    )
    assert call == ToolCallPart("mcp_1", "read", {"path": "a.py"})
    assert (text_of(answer), answer.id if isinstance(answer, ToolResultPart) else "") == ('{"output":"x"}', "mcp_1")


def test_code_and_what_it_printed() -> None:
    outputs = [{"type": "logs", "logs": "1\n"}]
    call, answer = parts(
        {"type": "code_interpreter_call", "id": "ci_1", "code": "print(1)", "container_id": "c", "outputs": outputs}
    )
    assert call == ToolCallPart("ci_1", "code_interpreter", {"code": "print(1)"})
    assert json.loads(text_of(answer)) == {"outputs": outputs}


def test_search_in_files_and_what_it_found() -> None:
    found = [{"file_id": "f", "text": "sky"}]
    call, answer = parts({"type": "file_search_call", "id": "fs_1", "queries": ["sky"], "results": found})
    assert call == ToolCallPart("fs_1", "file_search", {"queries": ["sky"]})
    assert json.loads(text_of(answer)) == {"results": found}
    assert text_of(parts({"type": "file_search_call", "id": "fs_1", "queries": [], "results": None})[1]) == "{}"


def test_failed_call_tells_its_error() -> None:
    failed = {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "error": {"type": "x", "content": "no"}}
    assert json.loads(text_of(parts(failed)[1])) == {"error": {"type": "x", "content": "no"}}


@pytest.mark.parametrize("others", [{"id": None}, {"id": ""}, {"id": 5}, {"name": None}, {"name": 5}, {"name": ""}])
def test_call_that_holds_its_result_needs_neither_id_nor_name(others: Json) -> None:
    call, answer = parts({"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "x", **others})
    assert isinstance(call, ToolCallPart)
    assert isinstance(answer, ToolResultPart)
    assert call.id == answer.id
    assert call.id in ("m", "mcp_call")
    assert call.name in ("f", "mcp")


def test_image_that_the_model_made_is_one() -> None:
    made = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG}
    assert parts(made) == [AttachmentPart("image/png", PNG)]
    assert parts({**made, "extra_content": SIGNED}) == [AttachmentPart("image/png", PNG, provider_metadata=SIGNED)]
    assert parts({**made, "result": None}, {**made, "result": ""}) == []


@pytest.mark.parametrize("image", ["!", 5])
def test_image_that_is_none_is_refused(image: Json) -> None:
    with pytest.raises(BadRequest) as caught:
        decoded({"type": "image_generation_call", "id": "ig_1", "result": image})
    assert caught.value.param == "input[0].result"


def test_search_of_the_web_says_nothing_that_the_message_after_it_does_not() -> None:
    action = {"type": "search", "query": "sky", "queries": ["sky"]}
    assert parts({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}) == []


# Every item of the SDK: the parts that it becomes, or None for one that is listed.

ITEMS: dict[str, tuple[Json, list[type[Part]] | None]] = {
    "message": ({"role": "user", "content": "Hi"}, [TextPart]),
    "function_call": ({"call_id": "a", "name": "f", "arguments": "{}"}, [ToolCallPart]),
    "function_call_output": ({"call_id": "a", "output": "x"}, [ToolResultPart]),
    "custom_tool_call": ({"call_id": "a", "name": "f", "input": "x"}, [ToolCallPart]),
    "custom_tool_call_output": ({"call_id": "a", "output": "x"}, [ToolResultPart]),
    "computer_call": ({"id": "x", "call_id": "a", "pending_safety_checks": []}, [ToolCallPart]),
    "computer_call_output": ({"call_id": "a", "output": {"type": "computer_screenshot"}}, [ToolResultPart]),
    "local_shell_call": ({"id": "x", "call_id": "a", "action": {"type": "exec", "command": []}}, [ToolCallPart]),
    "local_shell_call_output": ({"id": "a", "output": "x"}, [ToolResultPart]),
    "shell_call": ({"call_id": "a", "action": {"commands": ["ls"]}}, [ToolCallPart]),
    "shell_call_output": ({"call_id": "a", "output": []}, [ToolResultPart]),
    "apply_patch_call": ({"call_id": "a", "operation": {"type": "delete_file", "path": "a"}}, [ToolCallPart]),
    "apply_patch_call_output": ({"call_id": "a", "status": "completed"}, [ToolResultPart]),
    "tool_search_call": ({"arguments": {}}, [ToolCallPart]),
    "tool_search_output": ({"tools": []}, [ToolResultPart]),
    "file_search_call": ({"id": "x", "queries": ["a"]}, [ToolCallPart, ToolResultPart]),
    "code_interpreter_call": (
        {"id": "x", "code": "1", "container_id": "c", "outputs": None},
        [ToolCallPart, ToolResultPart],
    ),
    "mcp_call": ({"id": "x", "name": "f", "arguments": "{}", "server_label": "s"}, [ToolCallPart, ToolResultPart]),
    "image_generation_call": ({"id": "x", "result": PNG, "status": "completed"}, [AttachmentPart]),
    "web_search_call": ({"id": "x", "action": {"type": "search"}}, []),
    "additional_tools": ({"role": "developer", "tools": []}, []),
    "reasoning": ({"id": "x", "summary": []}, []),
    "compaction": ({"encrypted_content": "gAAA"}, None),
    "compaction_trigger": ({}, None),
    "configuration_update": ({"reasoning": {"effort": "low"}}, None),
    "mcp_list_tools": ({"id": "x", "server_label": "s", "tools": []}, None),
    "mcp_approval_request": ({"id": "x", "arguments": "{}", "name": "f", "server_label": "s"}, None),
    "mcp_approval_response": ({"approval_request_id": "x", "approve": True}, None),
    "program": ({"id": "x", "call_id": "a", "code": "1", "fingerprint": "f"}, None),
    "program_output": ({"id": "x", "call_id": "a", "result": "1", "status": "completed"}, None),
}


def sdk_types() -> set[str]:
    """The types of the SDK's items."""
    hints = [get_type_hints(item)["type"] for item in get_args(ResponseInputItemParam)]
    found = {value for hint in hints for each in (hint, *get_args(hint)) for value in get_args(each)}
    return {value for value in found if isinstance(value, str)}


@pytest.mark.parametrize("kind", sorted(sdk_types() - {"item_reference"}))
def test_item_of_the_sdk_is_read_or_listed(kind: str) -> None:
    assert kind in ITEMS, "new in the SDK: decide what becomes of it"
    fields, kinds = ITEMS[kind]
    messages, ignored = decoded({"type": kind, **fields})
    assert [type(part) for each in messages for part in each.parts] == (kinds or [])
    assert ignored == ([f"input[].{kind}"] if kinds is None else [])


def test_items_are_those_of_the_sdk() -> None:
    assert sdk_types() == {*ITEMS, "item_reference"}
    with pytest.raises(NotStored):
        decoded({"type": "item_reference", "id": "x"})


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call", "function_call_output", "reasoning"])
def test_field_of_an_item_that_is_not_read_is_listed(kind: str) -> None:
    extra = {"x": 1, "caller": {"type": "direct"}, "status": "completed", "id": "x_1", "y": None}
    assert decoded({"type": kind, **ITEMS[kind][0], **extra})[1] == ["input[].x", "input[].caller"]


def test_item_of_older_clients_is_listed() -> None:
    assert decoded({"type": "context_compaction"}) == ([], ["input[].context_compaction"])


def test_tools_within_the_input_are_found_with_their_places() -> None:
    items = [
        *({"role": "user", "content": "Hi"}, {"type": "additional_tools", "role": "developer", "tools": [1]}, None, 5),
        {"type": "tool_search_output", "call_id": "a", "tools": [2, 3]},
        {"type": "additional_tools", "tools": None},
    ]
    found = listed_tools((f"input[{position}]", item) for position, item in enumerate(items))
    assert found == [("input[1].tools", [1]), ("input[4].tools", [2, 3]), ("input[5].tools", [])]
    with pytest.raises(BadRequest) as caught:
        listed_tools([("input[0]", {"type": "additional_tools", "tools": {}})])
    assert caught.value.param == "input[0].tools"

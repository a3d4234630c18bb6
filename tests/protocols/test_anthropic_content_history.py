"""What Anthropic's clients send back of answers: calls, thoughts, and tools of Anthropic's servers."""

import json

import pytest

from agproxy.chat import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from agproxy.protocols.seals import seal
from tests.chat_bodies import Json
from tests.message_bodies import (
    BILLING,
    HELLO,
    OTHER,
    PICTURE,
    SIGNED,
    answered,
    assistant,
    messages,
    read,
    refused,
    result,
    text,
    use,
    user,
)

# Calls and thoughts of the past.


DIRECT = {"type": "direct"}


def test_call_of_the_past() -> None:
    parts = answered(
        text("Let me look."), use("a", input={"at": [1]}), use("a"), use("b w:2", "mcp__x.y", caller=DIRECT)
    )
    assert parts == (
        TextPart("Let me look."),
        ToolCallPart("a", "look", {"at": [1]}),
        ToolCallPart("a", "look", {}),
        ToolCallPart("b w:2", "mcp__x.y", {}),
    )


@pytest.mark.parametrize(
    ("value", "arguments"),
    [(None, {}), ("", {}), ('{"at": 1}', {"at": 1}), ("{", {"input": "{"}), ([1], {"input": [1]}), (5, {"input": 5})],
)
def test_input_of_a_call_becomes_an_object(value: Json, arguments: Json) -> None:
    assert answered(use(input=value)) == (ToolCallPart("a", "look", arguments),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"name": None}, "name"), ({"name": ""}, "name"), ({"name": 5}, "name"), ({"id": None}, "id"), ({"id": 5}, "id")],
)
def test_other_call_is_refused(fields: Json, param: str) -> None:
    assert refused(assistant({**use(), **fields})).param == f"messages[0].content[0].{param}"


def thinking(signature: Json = None, words: Json = "Hm.") -> Json:
    return {"type": "thinking", "thinking": words, "signature": signature}


def signatures(*values: Json) -> list[Json]:
    """Those of the calls of a conversation, of which nothing is ignored."""
    return [
        part.provider_metadata for each in messages(*values) for part in each.parts if isinstance(part, ToolCallPart)
    ]


def test_thoughts_are_read() -> None:
    assert answered(thinking(seal({})), text("Rain.")) == (ReasoningPart("Hm."), TextPart("Rain."))


@pytest.mark.parametrize("words", [None, ""])
def test_thoughts_without_words_are_nothing(words: Json) -> None:
    assert answered(thinking(seal({}), words), text("Rain.")) == (TextPart("Rain."),)


def test_signature_in_thoughts_is_put_on_its_call() -> None:
    assert signatures(assistant(thinking(seal({"b": SIGNED})), use("a"), use("b"))) == [None, SIGNED]


def test_signatures_of_several_steps_are_put_on_their_calls() -> None:
    first, second = (
        assistant(thinking(seal({"a": SIGNED})), use("a")),
        assistant(thinking(seal({"b": OTHER})), use("b")),
    )
    assert signatures(HELLO, first, user(result("a")), second, user(result("b"))) == [SIGNED, OTHER]


def test_thoughts_may_stand_in_a_message_before_or_behind_the_call() -> None:
    assert signatures(assistant(thinking(seal({"a": SIGNED}))), assistant(use("a"))) == [SIGNED]
    assert signatures(assistant(use("a"), thinking(seal({"a": SIGNED})))) == [SIGNED]


def test_same_id_of_another_step_has_the_signature_of_its_own_step() -> None:
    first, second = (
        assistant(thinking(seal({"a": SIGNED})), use("a")),
        assistant(thinking(seal({"a": OTHER})), use("a")),
    )
    assert signatures(first, user(result("a")), second) == [SIGNED, OTHER]


CLAUDES = "EqQBCkYICxgCKkDf2s9B" + "x" * 40


@pytest.mark.parametrize("signature", [CLAUDES, "x", "agproxy1.", "agproxy1.%", "agproxy1.W10=", 5, {"a": 1}])
def test_signature_of_another_model_is_listed_and_dropped(signature: Json) -> None:
    found, ignored = read(HELLO, assistant(thinking(signature), use("a")))
    assert found[1] == Message("assistant", (ReasoningPart("Hm."), ToolCallPart("a", "look", {})))
    assert ignored == ["messages[].content[].signature"]


@pytest.mark.parametrize("signature", [None, "", ...])
def test_thoughts_without_signature_are_read(signature: Json) -> None:
    block = {"type": "thinking", "thinking": "Hm."} if signature is ... else thinking(signature)
    assert answered(block) == (ReasoningPart("Hm."),)


def test_thoughts_are_a_string() -> None:
    assert refused(assistant(thinking(words=5))).param == "messages[0].content[0].thinking"


def test_thoughts_that_are_hidden_are_listed_and_dropped() -> None:
    hidden = {"type": "redacted_thinking", "data": "x"}
    found, ignored = read(assistant(hidden, text("Rain.")))
    assert found == (Message("assistant", (TextPart("Rain."),)),)
    assert ignored == ["messages[].content[].redacted_thinking"]


# Tools of Anthropic's servers.


def server_use(name: str, kind: str = "server_tool_use", **others: Json) -> Json:
    return {"type": kind, "id": "srvtoolu_1", "name": name, "input": {"q": 1}, **others}


def test_searches_of_the_web_are_dropped() -> None:
    found = [{"type": "web_search_result", "url": "https://a.co/", "title": "A", "encrypted_content": "x"}]
    block = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": found}
    assert answered(text("I'll search."), server_use("web_search"), block, text("Rain.")) == (
        TextPart("I'll search."),
        TextPart("Rain."),
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web_fetch", "web_fetch_tool_result"),
        ("code_execution", "code_execution_tool_result"),
        ("bash_code_execution", "bash_code_execution_tool_result"),
        ("tool_search_tool_regex", "tool_search_tool_result"),
    ],
)
def test_other_tools_of_servers_are_read_as_calls_and_results(name: str, kind: str) -> None:
    content = {"type": "x_result", "stdout": "42"}
    block = {"type": kind, "tool_use_id": "srvtoolu_1", "content": content}
    first, second, third = messages(assistant(server_use(name), block, text("It is 42.")))
    assert first == Message("assistant", (ToolCallPart("srvtoolu_1", name, {"q": 1}),))
    (part,) = second.parts
    assert isinstance(part, ToolResultPart)
    assert (second.role, part.id, part.is_error) == ("tool", "srvtoolu_1", False)
    (words,) = part.parts
    assert isinstance(words, TextPart)
    assert json.loads(words.text) == content
    assert third == Message("assistant", (TextPart("It is 42."),))


@pytest.mark.parametrize("content", ["bo\nom", [text("bo"), text("om")]])
@pytest.mark.parametrize("is_error", [True, False])
def test_tool_of_an_mcp_server_is_read_as_a_call_and_its_result(content: Json, is_error: bool) -> None:
    call = server_use("read", "mcp_tool_use", server_name="files")
    block = {"type": "mcp_tool_result", "tool_use_id": "srvtoolu_1", "content": content, "is_error": is_error}
    _, (answer) = messages(assistant(call, block))
    assert answer == Message("tool", (ToolResultPart("srvtoolu_1", "", (TextPart("bo\nom"),), is_error=is_error),))


@pytest.mark.parametrize("kind", ["container_upload", "fallback", "mcp_tool_listing", "hologram"])
def test_unknown_block_of_an_answer_is_listed(kind: str) -> None:
    found, ignored = read(HELLO, assistant({"type": kind}, text("Rain.")))
    assert found[1].parts == (TextPart("Rain."),)
    assert ignored == [f"messages[].content[].{kind}"]


@pytest.mark.parametrize("block", [5, {}, {"type": None}, {"type": ["x"]}, {"type": {}}])
def test_block_of_an_answer_has_a_type(block: Json) -> None:
    assert (refused(assistant(block)).param or "").startswith("messages[0].content[0]")


def test_reading_changes_nothing() -> None:
    values = [HELLO, assistant(thinking(seal({"a": SIGNED})), use("a")), user(result("a", content=[PICTURE]))]
    before = json.dumps(values)
    read(*values, system=[text(BILLING)])
    assert json.dumps(values) == before

"""Messages of Anthropic's: turns, instructions, and what is refused by its place."""

import time

import pytest

from agproxy.chat import Message, TextPart
from agproxy.errors import BadRequest
from agproxy.protocols.anthropic_content import Reader
from tests.chat_bodies import Json
from tests.message_bodies import (
    BILLING,
    CACHED,
    HELLO,
    PICTURE,
    answered,
    assistant,
    messages,
    read,
    refused,
    result,
    said,
    system,
    text,
    use,
    user,
)

# Messages.


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
@pytest.mark.parametrize("content", ["Hi", ["Hi"], [text("Hi")], [text("Hi"), text("")]])
def test_content_is_a_string_or_blocks(role: str, content: Json) -> None:
    assert messages({"role": role, "content": content}) == [Message(role, (TextPart("Hi"),))]  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
@pytest.mark.parametrize("content", ["", [], [text("")]])
def test_message_that_says_nothing_is_none(role: str, content: Json) -> None:
    assert messages(HELLO, {"role": role, "content": content}) == [Message("user", (TextPart("Hello"),))]


def test_order_of_messages_is_kept() -> None:
    found = messages(user("a"), assistant("b"), system("c"), user("d"), user("e"), system="s")
    assert [(each.role, each.parts[0].text) for each in found] == [  # type: ignore[union-attr]
        *(("system", "s"), ("user", "a"), ("assistant", "b"), ("system", "c"), ("user", "d"), ("user", "e"))
    ]


@pytest.mark.parametrize("value", [None, "Hi", {}, 5, ...])
def test_messages_are_an_array(value: Json) -> None:
    with pytest.raises(BadRequest) as caught:
        Reader([]).read({} if value is ... else {"messages": value})
    assert caught.value.param == "messages"


def test_conversation_is_not_empty() -> None:
    assert refused().param == "messages"


@pytest.mark.parametrize("role", [None, "developer", "tool", "", 5, ["user"], {}])
def test_unknown_role_is_refused(role: Json) -> None:
    assert refused(HELLO, {"role": role, "content": "Hi"}).param == "messages[1].role"


@pytest.mark.parametrize("value", ["Hi", None, 5, ["Hi"]])
def test_message_is_an_object(value: Json) -> None:
    assert refused(HELLO, value).param == "messages[1]"


@pytest.mark.parametrize("content", [None, 5, {}, {"type": "text"}, True])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_other_content_is_refused_in_words_that_say_what_is_taken(role: str, content: Json) -> None:
    error = refused(HELLO, {"role": role, "content": content})
    assert error.param == "messages[1].content"
    assert "string" in error.message


def test_message_without_content_is_refused() -> None:
    error = refused(HELLO, {"role": "user"})
    assert (error.param, error.code) == ("messages[1].content", "missing_required_parameter")
    assert "string" in error.message


@pytest.mark.parametrize("block", [5, None, [], {}, {"type": None}, {"type": 5}, {"type": ["text"]}, {"type": "video"}])
def test_unknown_block_of_the_user_is_refused_by_its_place(block: Json) -> None:
    error = refused(user(text("a"), block))
    assert error.param in ("messages[0].content[1]", "messages[0].content[1].type")


def test_refusal_of_a_block_names_those_that_are_taken() -> None:
    error = refused(user({"type": "video"}))
    assert error.param == "messages[0].content[0].type"
    for kind in ("text", "image", "document", "search_result", "tool_result"):
        assert kind in error.message


@pytest.mark.parametrize("kind", ["tool_use", "thinking", "redacted_thinking", "server_tool_use", "tool_reference"])
def test_block_of_another_place_is_refused(kind: str) -> None:
    assert refused(user({"type": kind})).param == "messages[0].content[0].type"


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
@pytest.mark.parametrize("words", [None, 5, [], {}, ...])
def test_text_is_a_string(role: str, words: Json) -> None:
    block = {"type": "text"} if words is ... else text(words)
    assert refused(HELLO, {"role": role, "content": [block]}).param == "messages[1].content[0].text"


def test_what_is_not_read_is_listed_once_for_each_place() -> None:
    found, ignored = read(
        {**user(text("a", cache_control=CACHED, colour="red")), "name": "bob"},
        assistant(use(cache_control=CACHED, depth=1)),
        user(result(cache_control=CACHED, toolset_name="t")),
        system=[text("s", cache_control=CACHED, colour="red")],
    )
    assert len(found) == 4
    assert list(dict.fromkeys(ignored)) == [
        *("cache_control", "system[].colour", "messages[].name", "messages[].content[].colour"),
        *("messages[].content[].depth", "messages[].content[].toolset_name"),
    ]


@pytest.mark.parametrize("extra", [None, "", [], {}, False, 0])
def test_what_asks_for_nothing_is_not_listed(extra: Json) -> None:
    messages({**user(text("a", cache_control=extra, other=extra)), "other": extra})


def test_citations_of_an_answer_need_not_be_listed() -> None:
    assert answered(text("Rain.", citations=[{"type": "web_search_result_location"}])) == (TextPart("Rain."),)


@pytest.mark.parametrize(
    "value",
    [
        user(*[text("a")] * 100_000),
        user(*[result(content="a"), text("a")] * 50_000),
        system(*[{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}] * 100_000),
    ],
    ids=["texts", "results", "changes"],
)
def test_long_message_is_read_in_no_time(value: Json) -> None:
    started = time.process_time()
    read(HELLO, value)
    assert time.process_time() - started < 3


# Instructions.


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("Be kind.", ["Be kind."]),
        (["Be kind."], ["Be kind."]),
        ([text("Be kind."), text(""), text("Be brief.")], ["Be kind.", "Be brief."]),
    ],
)
def test_instructions_are_a_string_or_texts(value: Json, texts: list[str]) -> None:
    parts = tuple(TextPart(each) for each in texts)
    first = [Message("system", parts)] if parts else []
    assert messages(HELLO, system=value) == [*first, Message("user", (TextPart("Hello"),))]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (5, "system"),
        ({}, "system"),
        ([5], "system[0]"),
        ([text("a"), PICTURE], "system[1].type"),
        ([{"type": "text"}], "system[0].text"),
        ([text(None)], "system[0].text"),
    ],
)
def test_other_instructions_are_refused(value: Json, param: str) -> None:
    assert refused(HELLO, system=value).param == param


def test_billing_line_is_dropped() -> None:
    assert messages(HELLO, system=[text(BILLING), text("Be kind.")])[0] == Message("system", (TextPart("Be kind."),))
    assert [each.role for each in messages(HELLO, system=[text(BILLING)])] == ["user"]
    assert [each.role for each in messages(HELLO, system=BILLING)] == ["user"]


@pytest.mark.parametrize("end", ["\n", "\n\n"])
def test_billing_line_takes_nothing_else_with_it(end: str) -> None:
    for value in (f"{BILLING}{end}Be kind.", [text(f"{BILLING}{end}Be kind.")]):
        (instructions, _) = messages(HELLO, system=value)
        assert "".join(part.text for part in instructions.parts).strip() == "Be kind."  # type: ignore[union-attr]


def test_words_of_the_user_about_billing_are_kept() -> None:
    assert said(text(BILLING)) == (TextPart(BILLING),)
    assert messages(HELLO, system=f"Never say {BILLING}")[0].parts == (TextPart(f"Never say {BILLING}"),)


@pytest.mark.parametrize("content", ["Be brief.", [text("Be brief.")], ["Be brief."]])
@pytest.mark.parametrize("config", [{}, {"output_config": {"effort": "low"}}, {"output_config": None}])
def test_instructions_in_the_middle_are_the_same_in_any_form(content: Json, config: Json) -> None:
    assert messages(HELLO, {"role": "system", "content": content, **config}) == [
        Message("user", (TextPart("Hello"),)),
        Message("system", (TextPart("Be brief."),)),
    ]


@pytest.mark.parametrize("config", ["high", 5, ["high"]])
def test_output_config_of_a_message_is_an_object(config: Json) -> None:
    error = refused(HELLO, {"role": "system", "content": "x", "output_config": config})
    assert error.param == "messages[1].output_config"


def test_more_of_instructions_in_the_middle_is_listed() -> None:
    message = {**system(text("a", colour="red")), "name": "bob", "clear_at": "never"}
    assert read(HELLO, message)[1] == ["messages[].name", "messages[].content[].colour"]


def test_more_of_the_output_config_of_a_message_is_listed() -> None:
    config = {"effort": "low", "format": {"type": "json_schema"}}
    assert read(HELLO, system("x", output_config=config))[1] == ["messages[].output_config.format"]


def test_instructions_between_a_call_and_its_result_leave_both() -> None:
    found = messages(HELLO, assistant(use()), system("Be brief."), user(result(content="done")))
    assert [each.role for each in found] == ["user", "assistant", "system", "tool"]


@pytest.mark.parametrize(
    ("block", "param"),
    [
        (PICTURE, "messages[1].content[0].type"),
        (use(), "messages[1].content[0].type"),
        (5, "messages[1].content[0]"),
    ],
)
def test_instructions_in_the_middle_are_texts(block: Json, param: str) -> None:
    assert refused(HELLO, system(block)).param == param


@pytest.mark.parametrize("clear_at", ["next_user_message"])
def test_instructions_are_gone_once_the_user_has_spoken_again(clear_at: str) -> None:
    once = system("Once.", clear_at=clear_at)
    assert [each.role for each in messages(HELLO, once)] == ["user", "system"]
    assert [each.role for each in messages(HELLO, once, assistant("b"))] == ["user", "system", "assistant"]
    assert [each.role for each in messages(HELLO, once, assistant("b"), HELLO)] == ["user", "assistant", "user"]


@pytest.mark.parametrize("clear_at", ["tomorrow", "NEVER", 5, ["never"], {"type": "never"}, True])
def test_other_end_of_instructions_is_listed_and_they_stay(clear_at: Json) -> None:
    found, ignored = read(HELLO, system("Ever.", clear_at=clear_at), HELLO)
    assert ([message.role for message in found], ignored) == (["user", "system", "user"], ["messages[].clear_at"])


@pytest.mark.parametrize("clear_at", [None, "never"])
def test_instructions_stay_unless_they_say_otherwise(clear_at: Json) -> None:
    found = messages(HELLO, system("Ever.", clear_at=clear_at), HELLO)
    assert [each.role for each in found] == ["user", "system", "user"]


ADDED = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}
REMOVED = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "look"}}


def changes(*values: Json) -> list[tuple[str, Json]]:
    """What messages change of the tools."""
    reader = Reader([])
    reader.read({"messages": list(values)})
    return reader.tool_changes


def test_changes_of_the_tools_are_no_words() -> None:
    assert messages(HELLO, system(REMOVED, text("a"), ADDED))[1:] == [Message("system", (TextPart("a"),))]
    assert changes(HELLO, system(REMOVED, text("a"), ADDED), system(ADDED)) == [
        ("messages[1].content[0]", REMOVED),
        ("messages[1].content[2]", ADDED),
        ("messages[2].content[0]", ADDED),
    ]


def test_instructions_that_are_gone_have_changed_the_tools_all_the_same() -> None:
    assert [change for _, change in changes(HELLO, system(REMOVED, "a", clear_at="next_user_message"), HELLO)] == [
        REMOVED
    ]

"""What Claude Code asks: its conversations, and what it asks beside them, told by its words."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agproxy.chat import ChatRequest, Message, Sampling, TextPart, Thinking, Tool
from agproxy.protocols.anthropic_request import Echo, decode_request
from agproxy.protocols.claude_code import is_background, is_its_own, is_ping
from tests.message_bodies import Json

NAMING = "You are naming a coding session so the user can pick it out of a list."
TOPIC = "Analyze if this message indicates a new conversation topic. If it does, extract a 2-3 word title."
SUMMARY = "Summarize this coding conversation in under 50 characters.\nCapture the main task."
COMPACT = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.\n\nYour task is to create a detailed summary"
IDENTITY = "You are Claude Code, Anthropic's official CLI for Claude."
READ = Tool("Read", "Reads.")
UUID = "0199a1b2-0000-7000-8000-00000000000f"


def chat(
    *texts: str, system: tuple[str, ...] = (), tools: tuple[Tool, ...] = (), limit: int | None = None
) -> ChatRequest:
    """One message of the user."""
    messages = [Message("system", tuple(map(TextPart, system)))] if system else []
    messages.append(Message("user", tuple(map(TextPart, texts))))
    return ChatRequest("claude-opus-5-5", tuple(messages), tools=tools, sampling=Sampling(max_output_tokens=limit))


# Calls in the background.


def test_title_of_a_session_is_background() -> None:
    # As 2.1.330 sends it.
    body: Json = {
        "model": "claude-opus-5-5",
        "max_tokens": 128000,
        "tools": [],
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;"},
            {"type": "text", "text": IDENTITY},
            {"type": "text", "text": NAMING},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<session>\nHi\n</session>\n\nWrite the title."}]}
        ],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }
    assert is_background(decode_request(body))


@pytest.mark.parametrize(
    "system",
    [
        (NAMING,),
        (IDENTITY, TOPIC),
        (IDENTITY, SUMMARY),
        ("You are a helpful AI assistant tasked with summarizing conversations.",),
        ("Please generate a concise, sentence-case title for this session.",),
        ("Write a 5-10 word title for the following conversation:",),
    ],
)
def test_title_and_summary_by_instructions_are_background(system: tuple[str, ...]) -> None:
    assert is_background(chat("Hi", system=system))


@pytest.mark.parametrize("words", [SUMMARY, TOPIC, "Please write a 5-10 word title for x. Write a 5-10 word title"])
def test_title_and_summary_by_the_last_message_are_background_without_tools(words: str) -> None:
    assert is_background(chat(words))
    assert is_background(chat("<system-reminder>…", words))
    assert not is_background(chat(words, tools=(READ,)))


@pytest.mark.parametrize("tools", [(), (READ,)])
def test_compaction_is_background_with_and_without_tools(tools: tuple[Tool, ...]) -> None:
    conversation = chat("Fix it.", system=(IDENTITY,), tools=tools)
    assert is_background(replace(conversation, messages=(*conversation.messages, *chat(COMPACT).messages)))
    assert is_background(chat("Your task is to create a detailed summary of the conversation so far", tools=tools))


def test_words_of_a_summary_count_at_the_beginning_of_the_last_message_only() -> None:
    assert not is_background(chat(f"Why does it say {COMPACT!r}?", tools=(READ,)))
    earlier = chat(COMPACT, tools=(READ,))
    assert not is_background(replace(earlier, messages=(*earlier.messages, *chat("Go on.").messages)))


@pytest.mark.parametrize("words", ["Hi", "Write a title.", "Summarize this.", "quota", ""])
def test_conversation_is_not_background(words: str) -> None:
    assert not is_background(chat(words, system=(IDENTITY, "You help with software.")))
    assert not is_background(chat(words, system=(IDENTITY,), tools=(READ,)))


def test_conversation_is_not_background_for_what_stands_in_its_surroundings() -> None:
    # Claude Code 2.1.330 has the log of git in a message of role system.
    body: Json = {
        "model": "claude-opus-5-5",
        "system": IDENTITY,
        "tools": [{"name": "Read"}],
        "messages": [
            {"role": "user", "content": "Fix it."},
            {"role": "system", "content": "# Environment\nRecent commits: 1a2b generate a concise title for each page"},
        ],
    }
    assert not is_background(decode_request(body))


def test_request_without_words_is_not_background() -> None:
    assert not is_background(ChatRequest("m", ()))
    assert not is_background(chat())


# Pings.


@pytest.mark.parametrize("words", ["Warmup", "warmup", " Warmup\n"])
@pytest.mark.parametrize("limit", [None, 1, 32000])
def test_warm_up_is_a_ping(words: str, limit: int | None) -> None:
    assert is_ping(chat(words, system=(IDENTITY,), tools=(READ,), limit=limit))


def test_look_for_quota_is_a_ping() -> None:
    assert is_ping(chat("quota", limit=1))


@pytest.mark.parametrize("limit", [None, 2, 32000])
def test_question_about_quota_is_none(limit: int | None) -> None:
    assert not is_ping(chat("quota", limit=limit))


@pytest.mark.parametrize("texts", [("Warm up",), ("Warmup!",), ("count",), ("",), (), ("Warmup", "x"), ("x", "Warmup")])
def test_other_words_are_no_ping(texts: tuple[str, ...]) -> None:
    assert not is_ping(chat(*texts, limit=1))


def test_ping_is_the_whole_conversation() -> None:
    said = chat("Warmup").messages
    answer = (Message("assistant", (TextPart("OK"),)),)
    for messages in ((*said, *answer), (*said, *answer, *said), (*chat("Hi").messages, *said), answer, ()):
        assert not is_ping(ChatRequest("m", messages))


def test_answer_that_says_warmup_is_no_ping() -> None:
    assert not is_ping(ChatRequest("m", (Message("assistant", (TextPart("Warmup"),)),)))


# Whose request it is.


@pytest.mark.parametrize(
    "body",
    [
        {"system": IDENTITY},
        {"system": [IDENTITY]},
        {"system": [{"type": "text", "text": "x"}, {"type": "text", "text": IDENTITY}]},
        {"metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"0199"}'}},
        {"metadata": {"user_id": "user_1f_account__session_0199"}},
        {"metadata": {"user_id": f"user_{'1f' * 32}_account_{UUID}_session_{UUID}"}},
        {"metadata": {"user_id": json.dumps({"device_id": "1f" * 32, "account_uuid": UUID, "session_id": UUID})}},
    ],
)
def test_claude_code_is_known_by_what_it_says_of_itself(body: Json) -> None:
    assert is_its_own(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"system": None, "metadata": None},
        {"system": "You are kind.", "metadata": {"user_id": "bob"}},
        {"system": [5, None, {}, {"text": None}, {"text": [IDENTITY]}], "metadata": {"user_id": ["session_"]}},
        {"system": {"text": "x"}, "metadata": "session_1"},
        {"messages": [{"role": "user", "content": IDENTITY}]},
        *(
            {"system": "You are a fitness coach.", "metadata": {"user_id": user_id}}
            for user_id in (
                *("app_session_42", "session_42", "_session_", "user_session_1f", f"session_{UUID}", UUID),
                *("bob_account_1_session_2", "user_bob_account_1_session_2", "user_1f_account_1_session_2_x"),
                *(f"x user_1f_account__session_{UUID}", f"user_1f_account__session_{UUID} x"),
                *('{"session_id":"0199"}', '{"device_id":"d"}', '["device_id","session_id"]'),
            )
        ),
    ],
)
def test_others_are_not_taken_for_claude_code(body: Json) -> None:
    assert not is_its_own(body)


# What Claude Code sends.


def request(**fields: Json) -> Json:
    """A request of Claude Code 2.1.330."""
    ephemeral = {"type": "ephemeral"}
    return {
        "model": "claude-opus-5-5",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "<system-reminder>…"}, {"type": "text", "text": "Hi"}],
            },
            {
                "role": "system",
                "content": [{"type": "text", "text": "# Environment…", "cache_control": ephemeral}],
                "output_config": {"effort": "medium"},
            },
        ],
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.a1b; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are Claude Code.", "cache_control": ephemeral},
            {"type": "text", "text": "Long words.", "cache_control": ephemeral},
        ],
        "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object"}}],
        "metadata": {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "0199"})},
        "max_tokens": 128000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "stream": True,
        **fields,
    }


def test_request_of_claude_code() -> None:
    chat = decode_request(request())
    assert (chat.session, chat.stream, chat.sampling.max_output_tokens) == ("0199", True, 128000)
    assert (chat.thinking, chat.echo) == (Thinking("medium", show=False), Echo(thinks=True))
    assert [message.role for message in chat.messages] == ["system", "user", "system"]
    assert chat.ignored == ("context_management", "cache_control")


def test_conversation_of_claude_code_is_the_same_in_its_next_request() -> None:
    first: Any = request()
    later: Any = request()
    later["system"][0]["text"] = "x-anthropic-billing-header: cc_version=2.1.330.fff; cc_entrypoint=cli;"
    later["messages"][1] = {"role": "system", "content": "# Environment…"}
    assert decode_request(first).messages == decode_request(later).messages

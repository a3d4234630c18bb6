"""What the gateway learns from one request and keeps for the next: repairs, signatures, sessions, lists of models."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agproxy.chat import (
    ChatRequest,
    JsonFormat,
    Message,
    Sampling,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolCallStart,
    ToolResultPart,
)
from agproxy.config import Account
from agproxy.errors import ModelNotFound, UpstreamError, UpstreamUnreachable
from agproxy.fold import fold
from agproxy.upstreams.gemini_request import DUMMY_SIGNATURE
from tests.scripted import (
    CALL,
    GREETING,
    HELLO,
    LOOK,
    MODEL,
    FakeAnswer,
    Spread,
    World,
    bad_key,
    chunk,
    models_page,
    per_minute,
    refused,
    said,
)

SIGNATURE = "c2lnbmF0dXJlIG9uZQ=="
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


class TestSignatureRepair:
    CHAT = ChatRequest(
        "m",
        (
            *HELLO.messages,
            Message("assistant", (ToolCallPart("c1", "look", {}, {"google": {"thought_signature": SIGNATURE}}),)),
            Message("tool", (ToolResultPart("c1", "", (TextPart("x"),)),)),
        ),
    )

    @staticmethod
    def signatures(world: World) -> list[str | None]:
        return [body["contents"][1]["parts"][0].get("thoughtSignature") for body in world.bodies()]

    @pytest.mark.parametrize("words", ["Thought signature is not valid.", "Corrupted thought signature."])
    @both
    def test_doubtful_ones_are_replaced_once(self, words: str, stream: bool) -> None:
        world = World(refused(400, words), said())
        call = world.call(self.CHAT, stream=stream)
        assert list(call.events()) == GREETING
        assert (world.tried, call.attempts) == ("aa", 1)
        assert self.signatures(world) == [SIGNATURE, DUMMY_SIGNATURE]

    def test_refused_again_is_told(self) -> None:
        world = World(refused(400, "Thought signature is not valid."), refused(400, "Invalid thought signature"))
        error = world.failure(self.CHAT)
        assert (error.status, error.message, world.tried) == (400, "Invalid thought signature", "aa")

    def test_is_not_counted_as_an_attempt(self) -> None:
        answers = [refused(503), refused(400, "Thought signature is not valid."), refused(503), said()]
        world = World(*answers)
        assert world.events(self.CHAT) == GREETING
        assert world.tried == "abbc"
        assert self.signatures(world) == [SIGNATURE, SIGNATURE, DUMMY_SIGNATURE, DUMMY_SIGNATURE]


FULL = {"type": "string", "format": "date"}
BARE = {"type": "string"}


class TestSchemaRepair:
    CHAT = ChatRequest("m", HELLO.messages, tools=(Tool("other", "d", LOOK.parameters), LOOK))

    @staticmethod
    def fault(keyword: str, index: int = 1) -> FakeAnswer:
        return refused(400, f"Unknown name \"{keyword}\" at 'tools[0].function_declarations[{index}].parameters'")

    @staticmethod
    def schemas(world: World) -> list[list[dict[str, Any]]]:
        declared = [body["tools"][0]["functionDeclarations"] for body in world.bodies()]
        return [[tool["parametersJsonSchema"]["properties"]["at"] for tool in tools] for tools in declared]

    @both
    def test_refused_keyword_is_left_out(self, stream: bool) -> None:
        world = World(self.fault("format"), said())
        call = world.call(self.CHAT, stream=stream)
        assert list(call.events()) == GREETING
        assert (world.tried, call.attempts) == ("aa", 1)
        assert self.schemas(world) == [[FULL, FULL], [FULL, BARE]]

    def test_is_remembered_for_that_tool(self) -> None:
        world = World(self.fault("format"), said(), said())
        world.events(self.CHAT)
        world.events(ChatRequest("m", HELLO.messages, tools=(LOOK, Tool("third", "d", LOOK.parameters))))
        assert self.schemas(world)[-1] == [BARE, FULL]

    def test_is_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            World(self.fault("format"), said()).events(self.CHAT)
        assert f"request mended model={MODEL} without=format in the schema of look" in caplog.messages

    def test_refused_again_is_told(self) -> None:
        world = World(self.fault("format"), self.fault("format"))
        assert world.failure(self.CHAT).status == 400
        assert world.tried == "aa"

    def test_several_keywords_one_after_the_other(self) -> None:
        world = World(self.fault("format"), self.fault("format", 0), self.fault("description"), said())
        assert world.events(self.CHAT) == GREETING
        assert self.schemas(world)[-1] == [BARE, BARE]

    def test_repairs_are_bounded(self) -> None:
        world = World(*(self.fault(f"keyword{number}") for number in range(9)))
        assert world.failure(self.CHAT).status == 400
        assert world.tried == "a" * 7

    def test_declaration_that_does_not_exist(self) -> None:
        world = World(self.fault("format", 7))
        assert world.failure(self.CHAT).status == 400
        assert world.tried == "a"


class TestSettingRepair:
    """What a model refuses is left out, told to the client, and left out of the next request from the start."""

    PENALTY = "Penalty is not enabled for this model"
    LOGPROBS = "Logprobs is not enabled for models/gemini-3-flash-preview"
    CHAT = replace(HELLO, sampling=Sampling(presence_penalty=0.5, temperature=0.5, top_logprobs=2))

    @staticmethod
    def configs(world: World) -> list[set[str]]:
        return [set(body.get("generationConfig", {})) for body in world.bodies()]

    @both
    def test_is_done_without_at_once(self, stream: bool) -> None:
        world = World(refused(400, self.PENALTY), said())
        call = world.call(self.CHAT, stream=stream)
        assert list(call.events()) == GREETING
        assert (world.tried, call.attempts, call.ignored) == ("aa", 1, ("presence_penalty",))
        assert self.configs(world)[1] == {"temperature", "responseLogprobs", "logprobs"}

    def test_several_are_done_without_one_after_the_other(self) -> None:
        world = World(refused(400, self.PENALTY), refused(400, self.LOGPROBS), said())
        call = world.call(self.CHAT)
        assert list(call.events()) == GREETING
        assert call.ignored == ("presence_penalty", "logprobs")
        assert self.configs(world)[2] == {"temperature"}

    def test_is_remembered_for_a_day(self) -> None:
        world = World(refused(400, self.PENALTY), said(), said(), said(), said())
        world.events(self.CHAT)
        world.now += 24 * 3600 - 1
        call = world.call(self.CHAT)
        call.check()
        assert call.ignored == ("presence_penalty",)
        list(call.events())
        world.now += 2
        world.events(self.CHAT)
        assert ["presencePenalty" in config for config in self.configs(world)] == [True, False, False, True]

    def test_is_remembered_of_that_model_only(self) -> None:
        world = World(refused(400, self.PENALTY), said(), said())
        world.events(self.CHAT)
        world.events(self.CHAT, model="gemini-flash-latest")
        assert "presencePenalty" in self.configs(world)[-1]

    @pytest.mark.parametrize(
        ("words", "fields"),
        [
            ("Thinking level is not supported for this model.", {"thinking": Thinking("low")}),
            ("JSON mode is not enabled for this model", {"json_format": JsonFormat()}),
            (
                "A schema in GenerationConfig exceeds the nesting depth.",
                {"json_format": JsonFormat({"type": "string"})},
            ),
        ],
    )
    def test_what_depends_on_the_request_is_tried_again_next_time(self, words: str, fields: dict[str, Any]) -> None:
        chat = replace(HELLO, **fields)
        world = World(refused(400, words), said(), said())
        assert world.events(chat) == GREETING
        world.events(chat)
        first, mended, next_one = world.bodies()
        assert mended != first
        assert next_one == first

    def test_refused_again_all_the_same_is_told(self) -> None:
        world = World(refused(400, self.PENALTY), refused(400, self.PENALTY), said())
        assert world.failure(self.CHAT).message == self.PENALTY
        assert world.tried == "aa"

    def test_refused_though_it_was_not_sent_is_told(self) -> None:
        world = World(refused(400, self.PENALTY), said())
        assert world.failure().message == self.PENALTY
        assert world.tried == "a"

    def test_other_faults_are_told_at_once(self) -> None:
        world = World(refused(400, "Request contains an invalid argument."), said())
        assert world.failure(self.CHAT).status == 400
        assert world.tried == "a"

    def test_is_not_counted_as_an_attempt(self) -> None:
        world = World(refused(503), refused(400, self.PENALTY), refused(503), refused(400, self.LOGPROBS), said())
        assert world.events(self.CHAT) == GREETING
        assert world.tried == "abbcc"

    def test_json_in_words_comes_without_its_fence(self) -> None:
        fenced = FakeAnswer(chunk({"text": "```json\n{}"}), chunk({"text": "\n```"}, reason="STOP"))
        world = World(refused(400, "JSON mode is not enabled for this model"), fenced)
        assert fold(world.events(replace(HELLO, json_format=JsonFormat()))).text.strip() == "{}"


class TestSignatures:
    """Kept by call id for clients that drop them."""

    @staticmethod
    def history(call_id: str, name: str = "look", signature: str | None = None) -> ChatRequest:
        metadata = {"google": {"thought_signature": signature}} if signature else None
        called = Message("assistant", (ToolCallPart(call_id, name, {}, metadata),))
        return ChatRequest("m", (*HELLO.messages, called, Message("tool", (ToolResultPart(call_id, "", ()),))))

    @staticmethod
    def world_that_called() -> tuple[World, str]:
        world = World(FakeAnswer(chunk({**CALL, "thoughtSignature": SIGNATURE}, reason="STOP")), said())
        start = world.events()[0]
        assert isinstance(start, ToolCallStart)
        return world, start.id

    @staticmethod
    def sent(world: World) -> str | None:
        part = world.bodies()[-1]["contents"][1]["parts"][0]
        assert "functionCall" in part
        signature: str | None = part.get("thoughtSignature")
        return signature

    def test_are_restored(self) -> None:
        world, call_id = self.world_that_called()
        world.events(self.history(call_id))
        assert self.sent(world) == SIGNATURE

    def test_call_without_an_id_gets_one(self) -> None:
        assert self.world_that_called()[1] == "call_id1"

    def test_clients_own_word_counts_more(self) -> None:
        world, call_id = self.world_that_called()
        world.events(self.history(call_id, signature="QUJD"))
        assert self.sent(world) == "QUJD"

    def test_of_a_call_of_another_tool_are_not_used(self) -> None:
        world, call_id = self.world_that_called()
        world.events(self.history(call_id, name="other"))
        assert self.sent(world) == DUMMY_SIGNATURE

    def test_of_an_unknown_call_are_not_made_up(self) -> None:
        world, _ = self.world_that_called()
        world.events(self.history("c9"))
        assert self.sent(world) == DUMMY_SIGNATURE

    def test_are_kept_for_a_day(self) -> None:
        world, call_id = self.world_that_called()
        world.now += 24 * 3600 + 1
        world.events(self.history(call_id))
        assert self.sent(world) == DUMMY_SIGNATURE


class TestSessions:
    @staticmethod
    def chat(*texts: str, session: str | None = None) -> ChatRequest:
        roles = ("user", "assistant") * len(texts)
        messages = tuple(Message(role, (TextPart(text),)) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type]
        return ChatRequest("m", messages, session=session)

    def test_conversation_stays_with_its_account(self) -> None:
        world = World(said(), said(), said(), said())
        world.events(self.chat("Hello."))
        world.events(self.chat("Something else."))
        world.events(self.chat("Hello.", "Hi.", "And?"))
        world.events(self.chat("Something else.", "Yes.", "And?"))
        assert world.tried == "abab"

    def test_system_text_tells_conversations_apart(self) -> None:
        world = World(said(), said())
        for text in ("Be brief.", "Be long."):
            world.events(ChatRequest("m", (Message("system", (TextPart(text),)), *HELLO.messages)))
        assert world.tried == "ab"

    def test_clients_own_word_for_it_counts(self) -> None:
        world = World(said(), said(), said())
        world.events(self.chat("One.", session="s1"))
        world.events(self.chat("One.", session="s2"))
        world.events(self.chat("Two.", session="s1"))
        assert world.tried == "aba"

    def test_moves_when_its_account_is_limited(self) -> None:
        world = World(said(), per_minute("10s"), said(), said())
        for _ in range(3):
            world.events()
        assert world.tried == "aabb"
        assert world.waits == []

    def test_cache_first_waits_for_its_account(self) -> None:
        world = World(said(), per_minute("10s"), said(), mode="cache_first")
        world.events()
        assert world.events() == GREETING
        assert (world.tried, world.waits) == ("aaa", [Spread(10.0)])

    def test_pin(self) -> None:
        world = World(said(), said(), pin="c")
        world.events(self.chat("One."))
        world.events(self.chat("Two."))
        assert world.tried == "cc"


class TestListedModels:
    def test_are_those_of_all_accounts_once(self) -> None:
        world = World(accounts="ab")
        world.transport.lists = {"a": [models_page("x", "y")], "b": [models_page("y", "z")]}
        assert world.gateway.catalog.listed() == ("x", "y", "z")
        a, b = world.gateway.pool.accounts
        assert [world.gateway.catalog.holds(a, "z"), world.gateway.catalog.holds(b, "z")] == [False, True]

    def test_all_pages_are_read(self) -> None:
        world = World(accounts="a")
        world.transport.lists = {"a": [models_page("x", token="t 1"), models_page("y")]}
        assert world.gateway.catalog.listed() == ("x", "y")
        assert world.transport.urls[1].endswith("&pageToken=t%201")

    def test_pages_are_bounded(self) -> None:
        world = World(accounts="a")
        world.transport.lists = {"a": [models_page(f"m{number}", token="more") for number in range(99)]}
        assert len(world.gateway.catalog.listed()) == 10

    def test_are_kept_for_an_hour(self) -> None:
        world = World(accounts="a")
        world.transport.lists = {"a": [models_page("x"), models_page("y")]}
        assert world.gateway.catalog.listed() == ("x",)
        world.now += 3599
        assert world.gateway.catalog.listed() == ("x",)
        world.now += 2
        assert world.gateway.catalog.listed() == ("y",)

    @pytest.mark.parametrize(
        "failure",
        [lambda: UpstreamUnreachable("no"), bad_key, lambda: FakeAnswer(b"<html>")],
        ids=["unreachable", "refused", "no json"],
    )
    def test_failure_is_no_obstacle_and_tried_again_after_a_minute(
        self, failure: Callable[[], FakeAnswer | UpstreamError], caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(accounts="ab")
        world.transport.lists = {"a": [failure(), models_page("x")], "b": [models_page("y")]}
        assert world.gateway.catalog.listed() == ("y",)
        assert world.gateway.catalog.listed() == ("y",)
        assert len(caplog.records) == 1
        world.now += 61
        assert world.gateway.catalog.listed() == ("x", "y")

    def test_demo_lists_its_own(self) -> None:
        assert "gemini-flash-latest" in World(accounts=(Account("demo", type="demo"),)).gateway.catalog.listed()

    def test_resolve_asks_for_them_last(self) -> None:
        world = World(accounts="a")
        assert world.gateway.resolve("gpt-4o").model == "gemini-flash-latest"
        world.transport.lists = {"a": [models_page("some-model")]}
        assert world.gateway.resolve("some-model").model == "some-model"
        with pytest.raises(ModelNotFound):
            world.gateway.resolve("nobodys-model")

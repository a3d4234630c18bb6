"""What one request does without: how it is found out, bounded and remembered."""

from dataclasses import replace

import pytest

from agproxy.chat import ChatRequest, Message, Tool
from agproxy.errors import UpstreamRefusal
from agproxy.repairs import Repairs
from agproxy.store.memory import MemoryStore
from agproxy.upstreams import gemini
from tests.scripted import HELLO, LOOK

PENALTY = UpstreamRefusal("Penalty is not enabled for this model", status=400)
LOGPROBS = UpstreamRefusal("Logprobs is not enabled for models/m", status=400)
SIGNATURE = UpstreamRefusal("Thought signature is not valid.", status=400)
DAY_S = 24 * 3600.0

# A refusal of each setting, and whether the model alone decides about it.
REFUSALS = {
    "penalties": ("Penalty is not enabled for this model", True),
    "logprobs": ("Logprobs is not enabled for models/m", True),
    "n": ("Multiple candidates is not enabled for this model", True),
    "sampling": ("`temperature`, `top_p`, and `top_k` are deprecated.", True),
    "temperature": ("temperature is not supported for this model", True),
    "top_p": ("topP is not supported for this model", True),
    "top_k": ("top_k is not supported for this model", True),
    "system": ("Developer instruction is not enabled for models/m", True),
    "web_search": ("Search as tool is not enabled for this model", True),
    "thinking": ("Thinking level is not supported for this model.", False),
    "json_mode": ("JSON mode is not enabled for this model", False),
    "json_schema": ("The specified schema produces a constraint that has too many states for serving.", False),
}
NOTHING: frozenset[str] = frozenset()


class Clock:
    def __init__(self) -> None:
        self.now = 1_781_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


def repairs_of(store: MemoryStore, chat: ChatRequest = HELLO, model: str = "m") -> Repairs:
    return Repairs(chat, model=model, store=store)


ALL = frozenset(REFUSALS)


def answered(store: MemoryStore, refusal: UpstreamRefusal, chat: ChatRequest = HELLO) -> None:
    """A request that was refused once, mended, and then answered."""
    repairs = repairs_of(store, chat)
    repairs.mend(refusal, gemini, used=ALL)
    repairs.proved()


def fault(keyword: str, index: int = 0, *, holder: str = "tools[0].") -> UpstreamRefusal:
    words = f"Unknown name \"{keyword}\" at '{holder}function_declarations[{index}].x'"
    return UpstreamRefusal(words, status=400)


def refusal_of(setting: str) -> UpstreamRefusal:
    return UpstreamRefusal(REFUSALS[setting][0], status=400)


def test_nothing_is_left_out_at_first(store: MemoryStore) -> None:
    repairs = repairs_of(store)
    assert (repairs.count, repairs.keep_signatures, repairs.dropped, repairs.without) == (0, True, {}, NOTHING)


class TestSettings:
    @pytest.mark.parametrize("setting", REFUSALS)
    def test_that_was_sent_and_refused_is_left_out(self, store: MemoryStore, setting: str) -> None:
        repairs = repairs_of(store)
        assert repairs.can_mend(refusal_of(setting), gemini, used=frozenset({setting}))
        repairs.mend(refusal_of(setting), gemini, used=ALL)
        assert (repairs.count, repairs.without) == (1, frozenset({setting}))

    @pytest.mark.parametrize("setting", REFUSALS)
    def test_that_was_not_sent_cannot_be_left_out(self, store: MemoryStore, setting: str) -> None:
        others = (
            frozenset(REFUSALS) - {setting} - ({"temperature", "top_p", "top_k"} if setting == "sampling" else set())
        )
        assert not repairs_of(store).can_mend(refusal_of(setting), gemini, used=others)

    @pytest.mark.parametrize("setting", [name for name, (_, of_the_model) in REFUSALS.items() if of_the_model])
    def test_of_the_model_are_remembered_for_a_day(self, store: MemoryStore, clock: Clock, setting: str) -> None:
        answered(store, refusal_of(setting))
        clock.now += DAY_S - 1
        assert repairs_of(store).without == {setting}
        clock.now += 2
        assert repairs_of(store).without == NOTHING

    @pytest.mark.parametrize("setting", [name for name, (_, of_the_model) in REFUSALS.items() if not of_the_model])
    def test_that_depend_on_the_request_are_not_remembered(self, store: MemoryStore, setting: str) -> None:
        answered(store, refusal_of(setting))
        assert repairs_of(store).without == NOTHING

    @pytest.mark.parametrize(
        "words",
        [
            "top_k values above 64 are not supported",
            "Logprobs is not supported for streaming",
            "Google search is not available in your country",
            "System instruction is not supported with cached content",
        ],
    )
    def test_refusals_of_this_request_are_not_remembered(self, store: MemoryStore, words: str) -> None:
        refusal = UpstreamRefusal(words, status=400)
        if repairs_of(store).can_mend(refusal, gemini, used=ALL):
            answered(store, refusal)
        assert repairs_of(store).without == NOTHING

    def test_are_remembered_only_once_the_mended_request_was_answered(self, store: MemoryStore) -> None:
        repairs = repairs_of(store, TestSchemas.CHAT)
        repairs.mend(PENALTY, gemini, used=ALL)
        repairs.mend(fault("format"), gemini, used=ALL)
        assert (repairs_of(store).without, repairs_of(store, TestSchemas.CHAT).dropped) == (NOTHING, {})
        repairs.proved()
        assert repairs_of(store).without == {"penalties"}
        assert repairs_of(store, TestSchemas.CHAT).dropped == {"look": {"format"}}

    def test_of_other_models_are_not_touched(self, store: MemoryStore) -> None:
        answered(store, PENALTY)
        assert repairs_of(store, model="other").without == NOTHING

    def test_are_remembered_together(self, store: MemoryStore) -> None:
        answered(store, PENALTY)
        answered(store, LOGPROBS)
        assert repairs_of(store).without == {"penalties", "logprobs"}

    def test_memory_does_not_grow_older_by_what_is_not_remembered(self, store: MemoryStore, clock: Clock) -> None:
        answered(store, PENALTY)
        clock.now += DAY_S - 1
        answered(store, refusal_of("thinking"))
        clock.now += 2
        assert repairs_of(store).without == NOTHING


class TestSignatures:
    def test_are_given_up_once(self, store: MemoryStore) -> None:
        repairs = repairs_of(store)
        assert repairs.can_mend(SIGNATURE, gemini, used=NOTHING)
        repairs.mend(SIGNATURE, gemini, used=ALL)
        assert not repairs.keep_signatures
        assert not repairs.can_mend(SIGNATURE, gemini, used=NOTHING)

    def test_are_known_without_their_name_where_the_model_has_spoken_before(self, store: MemoryStore) -> None:
        refusal = UpstreamRefusal("Signature verification failed", status=400)
        assert not repairs_of(store).can_mend(refusal, gemini, used=NOTHING)
        repairs = repairs_of(store, replace(HELLO, messages=(*HELLO.messages, Message("assistant", ()))))
        assert repairs.can_mend(refusal, gemini, used=NOTHING)
        repairs.mend(refusal, gemini, used=NOTHING)
        assert not repairs.keep_signatures
        assert not repairs.can_mend(refusal, gemini, used=NOTHING)

    def test_that_are_gone_do_not_hide_what_else_is_refused(self, store: MemoryStore) -> None:
        repairs = repairs_of(store, TestSchemas.CHAT)
        both = UpstreamRefusal(f"{SIGNATURE.message}\n{fault('format').message}", status=400)
        for _ in range(2):
            assert repairs.can_mend(both, gemini, used=NOTHING)
            repairs.mend(both, gemini, used=NOTHING)
        assert not repairs.keep_signatures
        assert repairs.dropped == {"look": {"format"}}
        assert not repairs.can_mend(both, gemini, used=NOTHING)

    def test_are_tried_again_by_the_next_request(self, store: MemoryStore) -> None:
        answered(store, SIGNATURE)
        assert repairs_of(store).keep_signatures


class TestSchemas:
    CHAT = replace(HELLO, tools=(LOOK, Tool("other", "d", LOOK.parameters)))

    def test_keyword_is_dropped_of_the_tool_that_is_named(self, store: MemoryStore) -> None:
        repairs = repairs_of(store, self.CHAT)
        repairs.mend(fault("format", 1), gemini, used=ALL)
        assert repairs.dropped == {"other": {"format"}}
        assert repairs.ignored == ("other.parameters.format",)

    def test_keyword_is_dropped_once(self, store: MemoryStore) -> None:
        repairs = repairs_of(store, self.CHAT)
        assert repairs.can_mend(fault("format"), gemini, used=NOTHING)
        repairs.mend(fault("format"), gemini, used=ALL)
        assert not repairs.can_mend(fault("format"), gemini, used=NOTHING)
        assert repairs.can_mend(fault("format", 1), gemini, used=NOTHING)

    def test_keyword_is_remembered_of_the_tool(self, store: MemoryStore) -> None:
        answered(store, fault("format"), self.CHAT)
        assert repairs_of(store, replace(HELLO, tools=(LOOK,)), model="other").dropped == {"look": {"format"}}
        changed = Tool("look", "d", {"type": "object"})
        assert repairs_of(store, replace(HELLO, tools=(changed,))).dropped == {}


class TestSchemasOfSeveralHolders:
    """In a request of Gemini's own each element of ``tools`` may declare functions, or something else."""

    NAMES = "fgh"
    CHAT = replace(HELLO, tools=tuple(Tool(name, "", {"type": "object"}) for name in NAMES), tool_groups=(1, 0, 2))

    @pytest.mark.parametrize(("holder", "index", "name"), [(0, 0, "f"), (2, 0, "g"), (2, 1, "h")])
    def test_keyword_is_dropped_of_the_tool_in_that_place(
        self, store: MemoryStore, holder: int, index: int, name: str
    ) -> None:
        refusal = fault("format", index, holder=f"tools[{holder}].")
        answered(store, refusal, self.CHAT)
        assert repairs_of(store, self.CHAT).dropped == {name: {"format"}}

    @pytest.mark.parametrize(
        ("holder", "index"), [("tools[0].", 1), ("tools[1].", 0), ("tools[2].", 2), ("tools[3].", 0), ("", 0)]
    )
    def test_place_that_holds_no_tool_cannot_be_mended(self, store: MemoryStore, holder: str, index: int) -> None:
        refusal = fault("format", index, holder=holder)
        assert not repairs_of(store, self.CHAT).can_mend(refusal, gemini, used=ALL)

    @pytest.mark.parametrize("holder", ["", "tools[0].", "tools[3]."])
    def test_the_only_one_may_stand_anywhere(self, store: MemoryStore, holder: str) -> None:
        answered(store, fault("format", 1, holder=holder), TestSchemas.CHAT)
        assert repairs_of(store, TestSchemas.CHAT).dropped == {"other": {"format"}}


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_only_a_400_can_be_mended(store: MemoryStore, status: int) -> None:
    error = UpstreamRefusal(PENALTY.message, status=status)
    assert not repairs_of(store).can_mend(error, gemini, used=frozenset({"penalties"}))


def test_one_request_is_mended_six_times_at_most(store: MemoryStore) -> None:
    repairs = repairs_of(store, TestSchemas.CHAT)
    for number in range(6):
        assert repairs.can_mend(fault(f"keyword{number}"), gemini, used=NOTHING)
        repairs.mend(fault(f"keyword{number}"), gemini, used=ALL)
    for error in (fault("one_more"), SIGNATURE, PENALTY):
        assert not repairs.can_mend(error, gemini, used=frozenset({"penalties"}))

"""How much each family is told to think; what comes out is held against the fake's own rules."""

import json
from typing import Any

import pytest

from agproxy.chat import Effort, Thinking
from agproxy.upstreams.gemini_thinking import encode_thinking
from tests.fake_google import KNOWN_MODELS, validate
from tests.fake_google.bodies import thinking

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high")
BUDGETS = (-1, 0, 1, 127, 128, 511, 512, 1024, 24576, 24577, 32768, 32769, 100_000, 2**31 - 1)
SHOWN = (None, True, False)

FLASH_25, LITE_25, PRO_25 = "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"
LITE_3, FLASH_3, FLASH_36, FLASH_38 = (
    "gemini-3.1-flash-lite",
    "gemini-3-flash-preview",
    "gemini-3.6-flash",
    "gemini-3.8-flash",
)
PRO_3, PRO_31, ARGON = "gemini-3-pro-preview", "gemini-3.1-pro-preview", "gemini-4-argon"
FLASH_LATEST, LITE_LATEST, PRO_LATEST = "gemini-flash-latest", "gemini-flash-lite-latest", "gemini-pro-latest"
IMAGE, PRO_IMAGE = "gemini-3.1-flash-image", "gemini-3-pro-image"

# What each effort becomes, from "none" to "high"; what stands in parentheses is not what was asked for.
EFFORT_TABLE: dict[str, tuple[str | int, ...]] = {
    FLASH_25: (0, 1024, 1024, 8192, 24576),
    LITE_25: (0, 1024, 1024, 8192, 24576),
    PRO_25: ("(128)", 1024, 1024, 8192, 24576),
    FLASH_3: ("(minimal)", "minimal", "low", "medium", "high"),
    FLASH_36: ("(minimal)", "minimal", "low", "medium", "high"),
    LITE_3: ("(minimal)", "minimal", "low", "medium", "high"),
    LITE_LATEST: ("(minimal)", "minimal", "low", "medium", "high"),
    FLASH_38: ("(low)", "low", "low", "medium", "high"),
    FLASH_LATEST: ("(low)", "low", "low", "medium", "high"),
    PRO_31: ("(low)", "low", "low", "medium", "high"),
    PRO_LATEST: ("(low)", "low", "low", "medium", "high"),
    ARGON: ("(low)", "low", "low", "medium", "high"),
    "gemini-4-carbon": ("(low)", "low", "low", "medium", "high"),
    "gemini-4-hydrogen": ("(low)", "low", "low", "medium", "high"),
    PRO_3: ("(low)", "low", "low", "high", "high"),
    IMAGE: ("(minimal)", "minimal", "minimal", "high", "high"),
    PRO_IMAGE: ("(low)", "low", "low", "high", "high"),
}


@pytest.mark.parametrize("model", EFFORT_TABLE)
def test_effort_becomes_the_nearest_that_the_family_knows(model: str) -> None:
    told: list[str | int] = []
    for effort in EFFORTS:
        config, ignored = encode_thinking(Thinking(effort, show=False), model)
        (value,) = config.values()
        told.append(f"({value})" if ignored else value)
    assert tuple(told) == EFFORT_TABLE[model]


@pytest.mark.parametrize(
    ("model", "budget", "config", "ignored"),
    [
        (FLASH_25, 0, {"thinkingBudget": 0}, []),
        (FLASH_25, 1, {"thinkingBudget": 1}, []),
        (FLASH_25, 24577, {"thinkingBudget": 24576}, []),
        (FLASH_25, -1, {"thinkingBudget": -1}, []),
        (LITE_25, 100, {"thinkingBudget": 512}, []),
        (LITE_25, 0, {"thinkingBudget": 0}, []),
        (PRO_25, 0, {"thinkingBudget": 128}, ["thinking_budget"]),
        (PRO_25, 99_999, {"thinkingBudget": 32768}, []),
        ("gemini-2.5-unheard-of", 5, {"thinkingBudget": 1024}, []),
        (FLASH_3, 5000, {"thinkingBudget": 5000}, []),
        (FLASH_3, -1, {"thinkingBudget": -1}, []),
        (FLASH_3, 99_999, {"thinkingBudget": 24576}, []),
        (FLASH_3, 0, {"thinkingLevel": "minimal"}, ["thinking_budget"]),
        (ARGON, 0, {"thinkingLevel": "low"}, ["thinking_budget"]),
        ("gemini-2.5-flash-image", 5000, {}, ["thinking_budget"]),
        ("gemini-3.1-flash-tts", 5000, {}, ["thinking_budget"]),
        ("gemini-2.0-flash", 5000, {}, ["thinking_budget"]),
        ("gemma-3-27b-it", 5000, {}, ["thinking_budget"]),
    ],
)
def test_budget_is_kept_within_what_the_family_takes(
    model: str, budget: int, config: dict[str, Any], ignored: list[str]
) -> None:
    assert encode_thinking(Thinking(budget_tokens=budget, show=False), model) == (config, ignored)


@pytest.mark.parametrize("model", [FLASH_25, FLASH_3, FLASH_LATEST])
class TestShow:
    def test_nothing_asked_is_nothing_said(self, model: str) -> None:
        assert encode_thinking(Thinking(), model) == ({}, [])

    def test_alone_leaves_the_amount_to_the_model(self, model: str) -> None:
        assert encode_thinking(Thinking(show=True), model) == ({"includeThoughts": True}, [])
        assert encode_thinking(Thinking(show=False), model) == ({}, [])

    @pytest.mark.parametrize(("effort", "shown"), [("high", True), ("minimal", True), ("none", False)])
    def test_effort_asks_for_the_thoughts_but_none_does_not(self, model: str, effort: Effort, shown: bool) -> None:
        config, _ = encode_thinking(Thinking(effort), model)
        assert config.get("includeThoughts", False) is shown

    def test_word_of_its_own_counts_more(self, model: str) -> None:
        assert "includeThoughts" not in encode_thinking(Thinking("high", show=False), model)[0]
        assert "includeThoughts" not in encode_thinking(Thinking(budget_tokens=2000, show=False), model)[0]

    def test_budget_asks_for_the_thoughts_too(self, model: str) -> None:
        assert encode_thinking(Thinking(budget_tokens=2000), model)[0]["includeThoughts"] is True


def test_thoughts_of_a_model_that_was_told_not_to_think_are_not_asked_for() -> None:
    assert encode_thinking(Thinking("none", show=True), FLASH_25) == ({"thinkingBudget": 0}, [])


def test_thoughts_of_a_model_without_are_listed_as_ignored() -> None:
    assert encode_thinking(Thinking("low", show=True), "gemma-3-27b-it") == (
        {},
        ["reasoning_effort", "include_thoughts"],
    )


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_nothing_comes_out_that_google_would_refuse(model: str) -> None:
    asked = [Thinking(effort, show=show) for effort in EFFORTS for show in SHOWN]
    asked += [Thinking(budget_tokens=budget, show=show) for budget in BUDGETS for show in SHOWN]
    asked += [Thinking(show=show) for show in SHOWN]
    for each in asked:
        config, _ = encode_thinking(each, model)
        if config:
            validate(model, json.dumps(thinking(**config)).encode())

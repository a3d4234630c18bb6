import typing
from collections.abc import Collection

import pytest
from openai.types import ChatModel

from agproxy import models
from agproxy.errors import BadRequest, ModelNotFound
from agproxy.routing import Resolution, Rules, check_name, resolve

FLASH, LITE, PRO = models.FLASH, models.LITE, models.PRO

# What clients ask for by default or in their menus, and where it goes.
DEFAULTS = {
    # OpenAI
    "gpt-4o": FLASH,
    "gpt-4o-2024-11-20": FLASH,
    "gpt-4o-search-preview": FLASH,
    "gpt-4o-mini": LITE,
    "gpt-4o-mini-2024-07-18": LITE,
    "gpt-4.1": FLASH,
    "gpt-4.1-mini": LITE,
    "gpt-4.1-nano-2025-04-14": LITE,
    "gpt-4": FLASH,
    "gpt-4-turbo": FLASH,
    "gpt-4-vision-preview": FLASH,
    "gpt-4.5-preview": PRO,
    "gpt-3.5-turbo": LITE,
    "gpt-3.5-turbo-instruct": LITE,
    "davinci-002": LITE,
    "babbage-002": LITE,
    "chatgpt-4o-latest": FLASH,
    "chat-latest": FLASH,
    "gpt-5": FLASH,
    "gpt-5-2025-08-07": FLASH,
    "gpt-5-mini": LITE,
    "gpt-5-nano": LITE,
    "gpt-5-pro": PRO,
    "gpt-5-codex": FLASH,
    "gpt-5.1-codex": FLASH,
    "gpt-5.1-codex-max": FLASH,
    "gpt-5.1-codex-mini": LITE,
    "gpt-5.2-pro-2025-12-11": PRO,
    "gpt-5.3-chat-latest": FLASH,
    "gpt-5.3-codex": FLASH,
    "gpt-5.4-mini-2026-03-17": LITE,
    "gpt-5.5": FLASH,
    "gpt-5.6": PRO,
    "gpt-5.6-sol": PRO,
    "gpt-5.6-terra": FLASH,
    "gpt-5.6-luna": LITE,
    "gpt-6-astra": PRO,
    "gpt-6-sol": FLASH,
    "gpt-6-luna": LITE,
    "gpt-6.1-sol": FLASH,
    "gpt-6.1-terra": FLASH,
    "gpt-6.2-astra": PRO,
    "gpt-6.2-sol": FLASH,
    "o1": PRO,
    "o1-2024-12-17": PRO,
    "o1-mini": LITE,
    "o1-pro": PRO,
    "o3": PRO,
    "o3-mini-2025-01-31": LITE,
    "o3-deep-research": PRO,
    "o4-mini": LITE,
    "codex-mini-latest": LITE,
    "gpt-oss-120b": FLASH,
    "gpt-oss-20b": LITE,
    "gpt-oss:20b": LITE,
    # Anthropic: every id and alias of the models overview, the retired ones included
    "claude-fable-5": PRO,
    "claude-fable-5-1": PRO,
    "claude-mythos-5": PRO,
    "claude-mythos-5-1": PRO,
    "claude-mythos-preview": PRO,
    "claude-opus-5-5": PRO,
    "claude-opus-5": PRO,
    "claude-opus-4-8": PRO,
    "claude-opus-4-7": PRO,
    "claude-opus-4-6": PRO,
    "claude-opus-4-5-20251101": PRO,
    "claude-opus-4-1-20250805": PRO,
    "claude-opus-4-0": PRO,
    "claude-opus-4-20250514": PRO,
    "claude-3-opus-latest": PRO,
    "claude-3-opus-20240229": PRO,
    "claude-sonnet-5-5": FLASH,
    "claude-sonnet-5": FLASH,
    "claude-sonnet-4-6": FLASH,
    "claude-sonnet-4-5-20250929": FLASH,
    "claude-sonnet-4-5@20250929": FLASH,
    "claude-sonnet-4-5-thinking": FLASH,
    "claude-sonnet-4-20250514": FLASH,
    "claude-3-7-sonnet-latest": FLASH,
    "claude-3.7-sonnet:thinking": FLASH,
    "claude-3-5-sonnet-20241022": FLASH,
    "claude-haiku-5-5": LITE,
    "claude-haiku-4-5-20251001": LITE,
    "claude-3-5-haiku-latest": LITE,
    "claude-3-haiku-20240307": LITE,
    "claude-instant-1.2": LITE,
    "opus": PRO,
    "sonnet": FLASH,
    "haiku": LITE,
    "fable": PRO,
    # Gemini's short names
    "gemini": FLASH,
    "gemini-flash": FLASH,
    "gemini-flash-lite": LITE,
    "gemini-pro": PRO,
    "gemini-3": FLASH,
    "gemini-3-flash": FLASH,
    "gemini-3-pro": PRO,
    "gemini-3-pro-high": PRO,
    "gemini-3.1-pro": PRO,
    "gemini-3.1-pro-low": PRO,
    "gemini-4": PRO,
}

NOT_SERVED = {
    "text-embedding-3-small": "an embedding model",
    "text-embedding-ada-002": "an embedding model",
    "nomic-embed-text": "an embedding model",
    "mistral-embed": "an embedding model",
    "gpt-embedding-9": "an embedding model",
    "dall-e-3": "an image model",
    "gpt-image-1": "an image model",
    "gpt-image-2.6-flare": "an image model",
    "chatgpt-image-latest": "an image model",
    "gemini-image": "an image model",
    "whisper-1": "a speech model",
    "tts-1-hd": "a speech model",
    "gpt-4o-mini-tts": "a speech model",
    "gpt-4o-transcribe-diarize": "a speech model",
    "gpt-audio-mini": "a speech model",
    "gpt-4o-audio-preview": "a speech model",
    "gpt-4o-realtime-preview": "a realtime model",
    "gpt-realtime-mini": "a realtime model",
    "sora-2": "a video model",
    "omni-moderation-latest": "a moderation model",
}

BAD_NAMES = [
    *("", " ", "../x", "gemini-3.8-flash/../../x", "..", "a b", "a?b", "a#b", "a&b=c", "a\nb", "gpt-4o\n", "a\x00b"),
    *("gemini%2f", "a\\b", "a;b", "sonnet[1m]", "gpt-4*", "gemini-3.8-fl\u0430sh", "gpt\uff0d4o", "\u0663", "<b>"),
    *("x" * 201, "x" * 300),
]


def upstream_lists(*names: str) -> typing.Callable[[], Collection[str]]:
    return lambda: names


def not_called() -> Collection[str]:
    raise AssertionError("the upstream's list was asked for")


def target(model: str, rules: Rules = ()) -> str:
    return resolve(model, rules=rules, listed=not_called).model


@pytest.mark.parametrize(("model", "expected"), DEFAULTS.items())
def test_default_table_decides_without_asking_the_upstream(model: str, expected: str) -> None:
    resolution = resolve(model, rules=(), listed=not_called)
    assert resolution.model == expected
    assert resolution.rule.startswith("default for ")


def test_rule_is_told_in_words() -> None:
    rules = (("gpt-4*", PRO), ("mine", "gemini-3.8-flash"))
    listed = upstream_lists("acme-1")
    told = {
        name: resolve(name, rules=rules, listed=listed)
        for name in ("mine", "gpt-4o", "gemini-2.5-pro", "claude-opus-5-5", "acme-1", "gpt-9")
    }
    assert told == {
        "mine": Resolution("gemini-3.8-flash", "[models] mine = gemini-3.8-flash"),
        "gpt-4o": Resolution(PRO, f"[models] gpt-4* = {PRO}"),
        "gemini-2.5-pro": Resolution("gemini-2.5-pro", "concrete Gemini name"),
        "claude-opus-5-5": Resolution(PRO, "default for claude-*opus*"),
        "acme-1": Resolution("acme-1", "listed upstream"),
        "gpt-9": Resolution(FLASH, "family fallback"),
    }


@pytest.mark.parametrize(
    ("model", "is_guessed"),
    [
        *(("mine", False), ("gpt-4o", False), ("gemini-2.5-pro", False), ("models/gemini-embedding-2", False)),
        *(("acme-1", False), ("gemini-flash", True), ("claude-opus-5-5", True), ("gpt-9", True)),
    ],
)
def test_stand_in_for_a_name_is_told_from_what_was_meant(model: str, is_guessed: bool) -> None:
    rules = (("gpt-4*", PRO), ("mine", "gemini-3.8-flash"))
    assert resolve(model, rules=rules, listed=upstream_lists("acme-1")).is_guessed is is_guessed


@pytest.mark.parametrize("model", typing.get_args(ChatModel))
def test_every_chat_model_of_the_openai_sdk_is_in_the_table_or_refused_on_purpose(model: str) -> None:
    if "audio" in model:
        with pytest.raises(ModelNotFound, match="is a speech model"):
            resolve(model, rules=(), listed=upstream_lists())
    else:
        assert target(model) in (FLASH, LITE, PRO)


@pytest.mark.parametrize(
    "model",
    ["gemini-4-argon", "gemini-3.8-flash", "gemini-4.2-flash", "gemini-2.0-flash", "gemini-embedding-2", FLASH],
)
def test_concrete_gemini_names_pass_unchanged_without_asking_the_upstream(model: str) -> None:
    assert resolve(model, rules=(), listed=not_called) == Resolution(model, "concrete Gemini name")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("models/gemini-3.8-flash", "gemini-3.8-flash"),
        ("google/gemini-3.8-flash", "gemini-3.8-flash"),
        ("gemini/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex_ai/gemini-2.5-pro", "gemini-2.5-pro"),
        ("publishers/google/models/gemini-3.8-flash", "gemini-3.8-flash"),
        ("openrouter/google/gemini-3.8-flash", "gemini-3.8-flash"),
        ("openai/gpt-4o", FLASH),
        ("anthropic/claude-opus-4.8", PRO),
        ("models/gpt-4o-mini", LITE),
    ],
)
def test_models_and_vendor_prefixes_are_taken_off(model: str, expected: str) -> None:
    assert target(model) == expected


@pytest.mark.parametrize("model", ["google/", "models/", "acme/gpt-4o", "google/acme", "/gpt-4o"])
def test_other_prefixes_and_empty_rests_stay_unknown(model: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve(model, rules=(), listed=upstream_lists())


@pytest.mark.parametrize(
    ("rules", "model", "expected"),
    [
        # exact before wildcard, whatever their order
        ((("gpt-4*", "w"), ("gpt-4o", "e")), "gpt-4o", "e"),
        ((("gpt-4*", "w"), ("gpt-4o", "e")), "gpt-4o-mini", "w"),
        # most characters other than the star
        ((("*", "all"), ("gpt-*", "some"), ("gpt-4o*", "few")), "gpt-4o-mini", "few"),
        ((("*", "all"), ("gpt-*", "some"), ("gpt-4o*", "few")), "gpt-5", "some"),
        ((("*", "all"), ("gpt-*", "some"), ("gpt-4o*", "few")), "acme", "all"),
        ((("g*****", "stars"), ("gp*", "letters")), "gpt-4o", "letters"),
        # the first in the file on a tie
        ((("gpt*", "first"), ("*-4o", "second")), "gpt-4o", "first"),
        ((("*-4o", "first"), ("gpt*", "second")), "gpt-4o", "first"),
        # case counts
        ((("GPT-4O", "upper"),), "gpt-4o", FLASH),
        ((("GPT-*", "upper"),), "GPT-4o", "upper"),
        # before Google's own names, too
        ((("gemini-2.0-flash", "gemini-3.8-flash"),), "gemini-2.0-flash", "gemini-3.8-flash"),
        ((("gemini-*", PRO),), FLASH, PRO),
        # kinds without a default can be given a model
        ((("text-embedding-*", "gemini-embedding-2"),), "text-embedding-3-small", "gemini-embedding-2"),
        # the name as sent or without its prefix; exact still wins
        ((("gpt-4o", "bare"), ("openai/gpt-4o", "sent")), "openai/gpt-4o", "sent"),
        ((("gpt-4o", "bare"),), "openai/gpt-4o", "bare"),
        ((("*", "all"), ("gpt-4o", "bare")), "openai/gpt-4o", "bare"),
        ((("openai/*", "vendor"), ("gpt-*", "bare")), "openai/gpt-4o", "vendor"),
        ((("acme/*", "vendor"),), "acme/gpt-4o", "vendor"),
        # targets are final
        ((("claude-x", "gpt-4o"),), "claude-x", "gpt-4o"),
        ((("claude-x", "models/gemini-3.8-flash"),), "claude-x", "gemini-3.8-flash"),
    ],
)
def test_rules_go_from_exact_to_most_specific_wildcard(rules: Rules, model: str, expected: str) -> None:
    assert target(model, rules) == expected


def test_changed_rules_hold_at_once() -> None:
    assert target("gpt-4o", (("gpt-4o", "one"),)) == "one"
    assert target("gpt-4o", (("gpt-4o", "two"),)) == "two"
    assert target("gpt-4o") == FLASH


@pytest.mark.parametrize(
    ("model", "listed", "expected"),
    [
        ("acme-1", ("acme-1",), "acme-1"),
        ("gpt-9", ("gpt-9",), "gpt-9"),
        ("gemini-swift", ("gemini-swift",), "gemini-swift"),
        ("text-embedding-004", ("text-embedding-004",), "text-embedding-004"),
        ("models/acme-1", ("acme-1",), "acme-1"),
        ("meta-llama/llama-4", ("meta-llama/llama-4",), "meta-llama/llama-4"),
        ("openai/gpt-9", ("gpt-9", "openai/gpt-9"), "openai/gpt-9"),
    ],
)
def test_names_that_the_upstream_lists_come_before_the_family(
    model: str, listed: tuple[str, ...], expected: str
) -> None:
    assert resolve(model, rules=(), listed=upstream_lists(*listed)) == Resolution(expected, "listed upstream")


def test_upstream_list_is_asked_for_each_time_and_not_remembered() -> None:
    assert resolve("gpt-9", rules=(), listed=upstream_lists()).model == FLASH
    assert resolve("gpt-9", rules=(), listed=upstream_lists("gpt-9")).model == "gpt-9"


def test_default_comes_before_what_the_upstream_lists() -> None:
    assert resolve("gpt-4o", rules=(), listed=upstream_lists("gpt-4o")).model == FLASH


@pytest.mark.parametrize(("model", "kind"), NOT_SERVED.items())
def test_no_chat_model_stands_in_for_other_kinds(model: str, kind: str) -> None:
    with pytest.raises(ModelNotFound, match=f"is {kind}: this kind of model is not served by this route yet") as caught:
        resolve(model, rules=(), listed=upstream_lists())
    assert caught.value.status == 404
    assert caught.value.param == "model"


def test_unknown_model_is_a_404_that_says_what_to_do() -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve("llama-4-maverick", rules=(), listed=upstream_lists())
    assert caught.value.status == 404
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert caught.value.message == (
        "No model 'llama-4-maverick' is known here. Name a Gemini model, such as gemini-flash-latest, or add a rule to "
        "[models] of the INI: llama-4-maverick = gemini-flash-latest."
    )


@pytest.mark.parametrize(
    ("model", "suggestion"),
    [
        ("GPT-4o", "gpt-4o"),
        ("gtp-4o", "gpt-4o"),
        ("gemni-flash-latest", "gemini-flash-latest"),
        ("cluade-opus-5-5", "claude-opus-5-5"),
        ("my-modle", "my-model"),
        ("acme-larg", "acme-large"),
    ],
)
def test_unknown_model_comes_with_close_names(model: str, suggestion: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve(model, rules=(("my-model", PRO), ("my-*-thing", PRO)), listed=upstream_lists("acme-large"))
    hint = caught.value.message.partition("Did you mean ")[2].partition("?")[0]
    assert suggestion in hint.split(" or ")
    assert len(hint.split(" or ")) <= 3


@pytest.mark.parametrize("model", BAD_NAMES)
def test_what_is_not_a_model_name_is_a_bad_request(model: str) -> None:
    with pytest.raises(BadRequest) as caught:
        resolve(model, rules=(("*", PRO),), listed=not_called)
    assert caught.value.status == 400
    assert caught.value.param == "model"
    assert caught.value.code == "invalid_model"
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("model", ["a", "x" * 200, "gpt-oss:20b", "meta-llama/Llama-4@v1.0", "_", "a.b"])
def test_names_of_any_vendor_pass_the_check(model: str) -> None:
    check_name(model)

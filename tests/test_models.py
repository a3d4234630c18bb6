import pytest

from agproxy import models

FLASH, LITE, PRO = models.FLASH, models.LITE, models.PRO

GENERATIONS = {
    "gemini-1.5-pro-002": (1, 5),
    "gemini-2.0-flash": (2, 0),
    "gemini-2.5-flash": (2, 5),
    "gemini-2.5-flash-lite-preview-09-2025": (2, 5),
    "gemini-live-2.5-flash-preview": (2, 5),
    "gemini-3-flash-preview": (3, 0),
    "gemini-3.1-pro-preview-customtools": (3, 1),
    "gemini-3.8-flash": (3, 8),
    "gemini-3.8-live-extended-thinking": (3, 8),
    "gemini-4-argon": (4, 0),
    "gemini-12.34-flash": (12, 34),
    "gemini-3": (3, 0),
    FLASH: models.LATEST,
    LITE: models.LATEST,
    PRO: models.LATEST,
    "gemini-nano-banana-2.1": models.LATEST,
    "gemini-robotics-er-1.6-preview": models.LATEST,
    "gemini-omni-flash": models.LATEST,
    "gemini-embedding-001": None,
    "gemini-embedding-2": None,
    "gemma-4-31b-it": None,
    "learnlm-2.0-flash-experimental": None,
    "gpt-5": None,
    "gemini": None,
    "": None,
}

CONCRETE = [
    # Models page, changelog and deprecations page of the Gemini API.
    *("gemini-4-argon", "gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.6-flash", "gemini-3.5-flash"),
    *("gemini-3.5-flash-lite", "gemini-3.1-flash-lite", "gemini-3.1-pro-preview", "gemini-3-flash-preview"),
    *("gemini-3.1-pro-preview-customtools", "gemini-3-pro-image", "gemini-3.1-flash-image"),
    *("gemini-3.1-flash-lite-image", "gemini-nano-banana-2.1", "gemini-2.5-flash-image"),
    *("gemini-3.8-flash-tts", "gemini-3.8-flash-lite-tts", "gemini-3.1-flash-tts-preview"),
    *("gemini-3.8-live", "gemini-3.8-live-extended-thinking", "gemini-3.1-flash-live-preview"),
    *("gemini-3.5-live-translate-preview", "gemini-2.5-flash-native-audio-preview-12-2025"),
    *("gemini-live-2.5-flash-preview", "gemini-embedding-2", "gemini-embedding-001", "gemini-omni-flash-preview"),
    *("gemini-robotics-er-1.6-preview", "gemma-4-31b-it", "gemma-3n-e4b-it", "learnlm-2.0-flash-experimental"),
    *("imagen-4.0-generate-001", "veo-3.1-generate-preview", FLASH, LITE, PRO),
    # Shut down: Google says so itself.
    *("gemini-2.0-flash", "gemini-2.0-flash-lite-001", "gemini-1.5-pro-latest", "gemini-3-pro-preview"),
    # Yet to come.
    *("gemini-4.2-flash", "gemini-5-krypton", "gemini-4-pro", "gemini-4.1-flash-lite-preview-01-2027"),
]

NOT_CONCRETE = [
    *("gemini", "gemini-3", "gemini-3.8", "gemini-pro", "gemini-flash", "gemini-flash-lite", "gemini-3-flash"),
    *("gemini-3-pro", "gemini-3.1-pro", "gemini-3-pro-high", "gemini-3.1-pro-low", "gemini-3.5-flash-low"),
    *("Gemini-3.8-Flash", "gemini-3.8-flash:free", "gemini-3.8-flash/x", "models/gemini-3.8-flash", "gpt-4o", ""),
]


@pytest.mark.parametrize(("model", "expected"), GENERATIONS.items())
def test_generation_is_read_from_the_name(model: str, expected: tuple[int, int] | None) -> None:
    assert models.generation(model) == expected


@pytest.mark.parametrize("alias", [FLASH, LITE, PRO])
def test_aliases_count_as_family_three_or_newer(alias: str) -> None:
    known = models.generation(alias)
    assert known is not None
    assert known >= (3, 8)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-3-flash-preview", True),
        ("gemini-3.8-flash", True),
        ("gemini-4-argon", True),
        (FLASH, True),
        ("gemini-2.5-pro", False),
        ("gemini-3-pro-image", False),
        ("gemini-3.1-flash-lite-image", False),
        ("gemini-nano-banana-2.1", False),
        ("gemma-4-31b-it", False),
        ("gemini-embedding-2", False),
    ],
)
def test_thought_signatures_are_needed_from_family_three_on_but_not_by_image_models(model: str, expected: bool) -> None:
    assert models.needs_thought_signatures(model) is expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-3-pro-image", True),
        ("gemini-2.5-flash-image-preview", True),
        ("gemini-nano-banana-2.1", True),
        ("imagen-4.0-generate-001", True),
        ("gemini-3.8-flash", False),
        ("gpt-image-2.6-flare", False),
    ],
)
def test_image_models_of_google_are_known_by_name(model: str, expected: bool) -> None:
    assert models.makes_images(model) is expected


@pytest.mark.parametrize("model", CONCRETE)
def test_names_of_google_are_concrete(model: str) -> None:
    assert models.is_concrete(model)


@pytest.mark.parametrize("model", NOT_CONCRETE)
def test_other_names_are_not_concrete(model: str) -> None:
    assert not models.is_concrete(model)


def test_defaults_target_nothing_but_the_aliases() -> None:
    assert {target for _, target in models.DEFAULTS} == {FLASH, LITE, PRO}


def test_no_default_is_hidden_by_an_earlier_one() -> None:
    for pattern, _ in models.DEFAULTS:
        found = models.default(pattern.replace("*", "0"))
        assert found is not None
        assert found[0] == pattern


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("gpt-9-mini", LITE),
        ("gpt-9", FLASH),
        ("gpt-9-opus", PRO),
        ("chatgpt-9", FLASH),
        ("o5", PRO),
        ("o5-mini", LITE),
        ("o9-2027-01-01", PRO),
        ("codex-auto-review", FLASH),
        ("claude-2.1", FLASH),
        ("claude-saga-7", FLASH),
        ("gemini-pro-vision", PRO),
        ("gemini-ultra", PRO),
        ("gemini-2.5", FLASH),
        ("gemini-exp-1206", FLASH),
        ("gemini-3.8-flash-lite:free", LITE),
        ("llama-4", None),
        ("deepseek-chat", None),
        ("opensesame", None),
        ("gptx", None),
    ],
)
def test_family_decides_for_names_that_nobody_knows(model: str, target: str | None) -> None:
    assert models.family_default(model) == target


def test_known_names_are_plain_names_that_work_without_configuration() -> None:
    names = models.known_names()
    assert len(names) == len(set(names))
    assert all(models.is_concrete(name) or models.default(name) for name in names)
    assert not [name for name in names if "*" in name]
    assert "gpt-4o" in names


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("gpt-4*", "gpt-4", True),
        ("gpt-4*", "gpt-4o", True),
        ("gpt-4*", "xgpt-4o", False),
        ("*", "anything", True),
        ("gpt-4.1*", "gpt-4x1", False),
        ("gpt-[45]*", "gpt-4", False),
        ("gpt-?", "gpt-4", False),
        ("*-mini*", "gpt-4o-mini-2024", True),
        ("GPT-4*", "gpt-4o", False),
    ],
)
def test_only_the_star_is_special_in_a_pattern(pattern: str, name: str, expected: bool) -> None:
    assert bool(models.wildcard(pattern).fullmatch(name)) is expected


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gemini-2.5-flash", "2"),
        ("gemini-3-flash-preview", "3"),
        ("gemini-3.1-pro-preview", "3"),
        ("gemini-pro-latest", "3"),
        ("gemma-3", ""),
    ],
)
def test_models_that_understand_each_others_signatures(model: str, family: str) -> None:
    assert models.family(model) == family

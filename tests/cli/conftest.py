"""What the tests of several commands need: a home of their own, and the fake Google."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_google import FakeGoogle

# Keys of the form that Google's have, as (key, project).
KEYS = {f"AIza{letter * 31}{letter}{letter}-{letter}": f"project-{letter}" for letter in "abc"}


def key(letter: str) -> str:
    """The key of that letter, which the fake takes; that of "x" it does not."""
    return f"AIza{letter * 31}{letter}{letter}-{letter}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home that nothing outside leads away from; also the current folder."""
    for name in ("AGPROXY_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(keys=KEYS) as google:
        yield google

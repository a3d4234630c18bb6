"""No test reads or writes what belongs to the user who runs it: neither a configuration of theirs, nor their state."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agproxy.store.sqlite import default_path

_USERS_STATE = default_path(os.environ)
_FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")  # with these unset, HOME alone tells where everything is
_HOMES = ("HOME", "APPDATA", "LOCALAPPDATA")

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Set up a home before any module of tests is imported, for some make applications then."""
    home = tempfile.mkdtemp(prefix="agproxy-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in _FOLDERS:
        os.environ.pop(name, None)
    os.environ.update(dict.fromkeys(_HOMES, home))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a home of its own, so that none finds the state of another; it is made when it is used."""
    home = str(Path(os.environ["HOME"], f"home-{next(_numbers)}"))
    for name in _HOMES:
        monkeypatch.setenv(name, home)


@pytest.fixture(autouse=True, scope="session")
def _users_state_is_left_alone() -> Iterator[None]:
    existed = _USERS_STATE is not None and _USERS_STATE.exists()
    yield
    if _USERS_STATE is not None and not existed:
        assert not _USERS_STATE.exists(), f"a test made {_USERS_STATE}, the state of the user who runs the tests"

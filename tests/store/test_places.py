"""Which store the INI's words mean, and what is in its way."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agproxy.store import Store, places
from agproxy.store.memory import MemoryStore
from agproxy.store.sqlite import SqliteStore, default_path


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}


@pytest.fixture
def nobody() -> Iterator[None]:
    """Permissions bind the user, even if that is root."""
    if os.geteuid() != 0:
        yield
        return
    os.setreuid(65534, -1)  # whom `os.access` asks for; what is done, is done as root all the same
    yield
    os.setreuid(0, -1)


posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def of(path: Path) -> str:
    return f"sqlite:{path}"


class TestAddress:
    def test_written_one_holds(self, home: dict[str, str]) -> None:
        assert [places.address(url, home) for url in ("memory:", "sqlite:/x.db")] == ["memory:", "sqlite:/x.db"]

    def test_usual_place(self, home: dict[str, str]) -> None:
        assert places.address("", home) == f"sqlite:{default_path(home)}"

    def test_usual_place_of_a_relative_home(self) -> None:
        home = dict.fromkeys(("HOME", "LOCALAPPDATA"), "here")
        assert places.address("", home) == f"sqlite:{Path.cwd() / str(default_path(home))}"
        assert not places.obstacle("", home)

    def test_no_usual_place_without_a_home(self) -> None:
        assert places.address("", {}) == "memory:"


class TestMake:
    def check(self, store: Store, kind: type) -> None:
        assert isinstance(store, kind)
        store.put("kind:name", 1, ttl_s=60)
        assert store.get("kind:name") == 1
        store.close()

    def test_nothing_is_opened_before_the_first_use(self, tmp_path: Path, home: dict[str, str]) -> None:
        store = places.make("", home)
        assert list(tmp_path.iterdir()) == []
        self.check(store, SqliteStore)
        path = default_path(home)
        assert path is not None
        assert path.exists()

    def test_named_file(self, tmp_path: Path) -> None:
        self.check(places.make(of(tmp_path / "a:b" / "state.db"), {}), SqliteStore)
        assert (tmp_path / "a:b" / "state.db").exists()

    def test_memory(self, tmp_path: Path, home: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
        self.check(places.make("memory:", home), MemoryStore)
        assert (list(tmp_path.iterdir()), caplog.text) == ([], "")

    def test_without_a_home_it_is_memory_and_that_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        self.check(places.make("", {}), MemoryStore)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage() == places.obstacle("", {})
        assert "HOME is not set; set it, or [store] url = sqlite:PATH" in record.getMessage().replace(
            "LOCALAPPDATA", "HOME"
        )


class TestObstacle:
    @pytest.mark.parametrize("url", ["memory:", "", "sqlite:{folder}/state.db", "sqlite:{folder}/new/newer/state.db"])
    def test_none(self, tmp_path: Path, home: dict[str, str], url: str) -> None:
        assert places.obstacle(url.format(folder=tmp_path), home) == ""
        assert list(tmp_path.iterdir()) == []

    def test_none_where_the_state_is(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        path.touch(0o600)
        assert places.obstacle(of(path), {}) == ""

    @posix
    @pytest.mark.usefixtures("nobody")
    @pytest.mark.parametrize("name", ["state.db", "new/state.db"])
    def test_folder_that_cannot_be_written(self, tmp_path: Path, name: str) -> None:
        tmp_path.chmod(0o555)
        words = places.obstacle(of(tmp_path / name), {})
        tmp_path.chmod(0o755)
        assert (
            words
            == f"state can be kept in memory only, for this user may not make files in {tmp_path}; see [store] url"
        )

    @posix
    @pytest.mark.usefixtures("nobody")
    def test_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        path.touch(0o400)
        assert f"this user may not read and write {path}" in places.obstacle(of(path), {})

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert f"{tmp_path / 'file'} is not a folder" in places.obstacle(of(tmp_path / "file" / "x" / "state.db"), {})

    def test_folder_in_the_place_of_the_file(self, tmp_path: Path) -> None:
        assert f"{tmp_path} is not a file" in places.obstacle(of(tmp_path), {})

    @posix
    def test_something_else_in_the_place_of_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # such names must be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("state.db")
            assert "state.db is not a file" in places.obstacle(of(tmp_path / "state.db"), {})

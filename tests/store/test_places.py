"""Which store the INI's words mean, and what is in its way."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agproxy.cli.check import report
from agproxy.config import Config, load
from agproxy.errors import ConfigError
from agproxy.store import Store, places
from agproxy.store.memory import MemoryStore
from agproxy.store.redis import RedisStore
from agproxy.store.sqlite import SqliteStore, default_path
from tests.redis_server import RedisServer, not_windows


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

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://box", "redis://box"),
            ("redis://me:secret-1@box:6379/2", "redis://box:6379/2"),
            ("redis://:secret%401@[::1]:6379", "redis://[::1]:6379"),
            ("rediss://:secret-1@box/0?ssl_ca_certs=/etc/ca.pem", "rediss://box/0"),
            ("unix://me:secret-1@/run/redis.sock?client_name=x&db=2", "unix:///run/redis.sock?db=2"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ],
    )
    def test_servers_password_is_not_shown(self, url: str, shown: str) -> None:
        assert places.address(url, {}) == shown


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

    @not_windows
    def test_redis(self, caplog: pytest.LogCaptureFixture) -> None:
        with RedisServer("--requirepass", "secret-1") as server:
            url = f"redis://:secret-1@127.0.0.1:{server.port}/1"
            store = places.make(url, {})
            self.check(store, RedisStore)
            assert caplog.text == ""
            server.kill()
            store.get("kind:name")
            server.start()
            assert f"store cannot be used url=redis://127.0.0.1:{server.port}/1 reason=" in caplog.text
            assert "secret-1" not in caplog.text
            store.close()

    @pytest.mark.parametrize("url", ["redis://box", "rediss://box", "unix:///run/redis.sock"])
    def test_without_its_client_redis_is_refused(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ConfigError, match=r"needs the Redis client for Python: pip install 'agproxy\[redis\]'"):
            places.make(url, {})

    def test_without_its_client_others_are_not(
        self, tmp_path: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        for url in ("", "memory:", of(tmp_path / "state.db")):
            places.make(url, home).close()

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
    @pytest.mark.parametrize(
        "url",
        ["memory:", "", "sqlite:{folder}/state.db", "sqlite:{folder}/new/newer/state.db", "redis://nowhere.invalid"],
    )
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

    @posix
    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"unix://{tmp_path}/redis.sock?db=1"
        assert f"there is no {tmp_path}/redis.sock now" in places.obstacle(url, {})
        (tmp_path / "redis.sock").touch()
        assert f"{tmp_path}/redis.sock is not a socket" in places.obstacle(url, {})
        (tmp_path / "redis.sock").unlink()
        monkeypatch.chdir(tmp_path)  # such names must be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("redis.sock")
            assert places.obstacle(url, {}) == ""

    @pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
    def test_certificate(self, tmp_path: Path, name: str) -> None:
        url = f"rediss://box?{name}={tmp_path}/a.pem"
        assert f"{tmp_path}/a.pem is not a file that can be read" in places.obstacle(url, {})
        (tmp_path / "a.pem").touch()
        assert places.obstacle(url, {}) == ""


class TestIni:
    @pytest.fixture
    def ini(self, tmp_path: Path) -> Path:
        return tmp_path / "agproxy.ini"

    def load(self, ini: Path, url: str, **environ: str) -> Config:
        ini.write_text(f"[store]\nurl = {url}\n")
        ini.chmod(0o600)
        return load(ini, environ)

    @pytest.mark.parametrize("written", ["{url}", "env:STATE", "file:state.url"])
    def test_address_of_a_server_is_a_secret(self, ini: Path, written: str) -> None:
        url = "redis://me:secret-1@box:6379/0"
        ini.with_name("state.url").write_text(f"{url}\n")
        config = self.load(ini, written.format(url=url), STATE=url)
        assert config.store.url == url
        assert "secret-1" not in repr(config)
        assert "store     redis://box:6379/0\n" in report(config)
        assert "secret-1" not in report(config)

    def test_missing_environment_variable_is_named(self, ini: Path) -> None:
        with pytest.raises(ConfigError, match=r"line 2: \[store\] url: the environment variable STATE is not set"):
            self.load(ini, "env:STATE")

    def test_missing_client_is_an_error_of_the_file(self, ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ConfigError, match=r"line 2: \[store\] url: needs the Redis client for Python: pip install"):
            self.load(ini, "redis://:secret-1@box")

    @posix
    @pytest.mark.parametrize(("url", "warns"), [("redis://:pw@box", True), ("redis://box", False), ("env:S", False)])
    def test_file_with_a_password_is_for_its_owner(
        self, ini: Path, caplog: pytest.LogCaptureFixture, url: str, warns: bool
    ) -> None:
        self.load(ini, url, S="redis://:pw@box")
        assert caplog.text == ""
        ini.chmod(0o644)
        load(ini, {"S": "redis://:pw@box"})
        assert ("every user of this machine can read the keys" in caplog.text) == warns

    def test_obstacle_is_told_by_check(self, ini: Path) -> None:
        assert "warning   state can be kept in memory only, for there is no /nowhere/redis.sock now" in report(
            self.load(ini, "unix:///nowhere/redis.sock")
        )

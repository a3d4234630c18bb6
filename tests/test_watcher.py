"""The configuration is read again when its files change."""

import itertools
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agproxy.config import load
from agproxy.store import places
from agproxy.watcher import Watcher
from tests.test_config import loaded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agproxy.ini"


class TestWatcher:
    @pytest.fixture
    def watcher(self, file: Path) -> Watcher:
        return Watcher(loaded(file, "[log]\nlevel = info\n"), {})

    @staticmethod
    def rewrite(file: Path, text: str) -> None:
        """Write to a new file: the same size and time must not hide a change."""
        new = file.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.replace(file)

    def test_change_is_taken_when_nothing_has_followed_it_for_a_while(self, watcher: Watcher, file: Path) -> None:
        levels = [watcher.current(0.0).log.level]
        self.rewrite(file, "[log]\nlevel = debug\n")
        levels += [watcher.current(now).log.level for now in (0.5, 1.0, 1.5, 2.0)]
        assert levels == ["info", "info", "info", "info", "debug"]

    def test_file_that_is_still_being_written_is_left_alone(self, watcher: Watcher, file: Path) -> None:
        for now, level in enumerate(["debug", "error", "warning"]):
            self.rewrite(file, f"[log]\nlevel = {level}\n")
            assert watcher.current(now).log.level == "info"
        assert watcher.current(4).log.level == "warning"

    def test_permissions_that_change_count_as_an_edit(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = watcher.current(0)
        file.chmod(0o640)
        assert [watcher.current(now) is first for now in (1, 3)] == [True, False]

    def test_new_key_in_a_key_file_is_taken(self, file: Path) -> None:
        key = file.with_name("key")
        watcher = Watcher(loaded(file, "[account:a]\napi_key = file:key\n"), {})
        assert "No such file" in watcher.current(0).accounts[0].problem
        for start, text in ((10, "first-key"), (20, "second-key")):
            self.rewrite(key, text)
            assert [watcher.current(start + now).accounts[0].api_key for now in (0, 2)][1] == text
        assert not watcher.current(30).accounts[0].problem

    def test_unchanged_file_is_not_read(self, watcher: Watcher) -> None:
        first = watcher.current(0)
        assert all(watcher.current(now) is first for now in range(5))

    def test_bad_edit_keeps_the_old_one_and_says_so_once(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.rewrite(file, "[log]\nlevel = loud\n")
        assert [watcher.current(now).log.level for now in range(6)] == ["info"] * 6
        (record,) = caplog.records
        assert "line 2: [log] level = loud: must be one of debug" in record.getMessage()

    def test_empty_file_is_no_edit(self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.rewrite(file, "")
        assert [watcher.current(now).log.level for now in range(4)] == ["info"] * 4
        assert len(caplog.records) == 1
        assert f"the change is not taken, the configuration before it stays in force: {file} is empty" in caplog.text
        self.rewrite(file, "[log]\nlevel = error\n")
        assert [watcher.current(now).log.level for now in (4, 6)] == ["info", "error"]

    def test_file_that_was_empty_may_be_so_again(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        watcher = Watcher(loaded(file, ""), {})
        first = watcher.current(0)
        self.rewrite(file, "")
        assert [watcher.current(now) is first for now in (1, 3)] == [True, False]
        assert caplog.messages == []

    def test_demo_in_place_of_accounts_is_said(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for start, text in enumerate(("[account:a]\napi_key = k\n", "[log]\nlevel = info\n", "[log]\nlevel = error\n")):
            assert caplog.text.count("MADE UP") == (start == 2)
            self.rewrite(file, text)
            for now in range(3):
                watcher.current(10 * start + now)
        assert caplog.text.count("agproxy.ini names no account: THE ANSWERS ARE MADE UP from now on") == 1

    def test_what_the_service_began_with_holds_until_a_restart(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        began_with = loaded(file, "[store]\nurl = memory:\n[server]\nport = 9000\n")
        config = loaded(file, "[store]\nurl = sqlite:/nowhere/state.db\n[server]\nport = 9001\n")
        watcher = Watcher(config, {}, began_with=began_with)
        assert caplog.messages == [
            "restart agproxy to listen on host 127.0.0.1, port 9001: both are read only at the start",
            "restart agproxy to keep state in sqlite:/nowhere/state.db: [store] is read only at the start",
        ]
        self.rewrite(file, "[store]\nurl = memory:\n[server]\nport = 9000\n")
        for now in range(3):
            watcher.current(now)
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2

    def test_mended_edit_is_taken(self, watcher: Watcher, file: Path) -> None:
        self.rewrite(file, "[log]\nlevel = loud\n")
        for now in range(3):
            watcher.current(now)
        self.rewrite(file, "[log]\nlevel = error\n")
        assert [watcher.current(now).log.level for now in (3, 5)] == ["info", "error"]

    def test_vanished_file_keeps_the_old_one_and_says_so_once(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.unlink()
        assert [watcher.current(now).log.level for now in range(4)] == ["info"] * 4
        assert [record.getMessage() for record in caplog.records] == [
            f"{file} is gone or cannot be read; the configuration read before stays in force"
        ]
        self.rewrite(file, "[log]\nlevel = error\n")
        assert [watcher.current(now).log.level for now in (4, 6)] == ["info", "error"]

    @pytest.mark.parametrize("text", ["[server]\nport = 9000\n", "[server]\nallow_lan_access = on\n"])
    def test_new_address_is_said_to_need_a_restart(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        self.rewrite(file, text)
        for now in range(4):
            watcher.current(now)
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage().startswith("restart agproxy to listen on host ")

    def test_new_store_is_said_once_to_need_a_restart(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        environ = {name: str(file.parent) for name in ("HOME", "LOCALAPPDATA")}
        first = "[store]\nurl = sqlite:first.db\n"
        watcher = Watcher(loaded(file, first, environ), environ)
        said = []
        for start, text in enumerate(("[log]\n", "[log]\nlevel = error\n", "[store]\nurl = memory:\n", first)):
            caplog.clear()
            self.rewrite(file, text)
            for now in range(3):
                watcher.current(10 * start + now)
            said.append([record.getMessage() for record in caplog.records if record.levelno == logging.WARNING])
        usual = places.address("", environ)
        words = "restart agproxy to keep state in {}: [store] is read only at the start"
        assert said == [[words.format(usual)], [], [words.format("memory:")], []]

    def test_new_password_of_the_store_is_said_to_need_a_restart_and_not_told(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        watcher = Watcher(loaded(file, "[store]\nurl = redis://:secret-1@box:6379\n", {}), {})
        self.rewrite(file, "[store]\nurl = redis://:secret-2@box:6379\n")
        for now in range(3):
            watcher.current(now)
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage().startswith("restart agproxy to keep state in redis://box:6379: ")
        assert "secret" not in caplog.text

    def test_usual_store_may_be_named(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        environ = {name: str(file.parent) for name in ("HOME", "LOCALAPPDATA")}
        watcher = Watcher(loaded(file, "", environ), environ)
        self.rewrite(file, f"[store]\nurl = {places.address('', environ)}\n")
        for now in range(3):
            watcher.current(now)
        assert watcher.current(3).store.url
        assert not [record for record in caplog.records if record.levelno == logging.WARNING]

    def test_secrets_are_read_again_with_the_file(self, file: Path) -> None:
        environ = {"K": "agp-1"}
        text = "[server]\napi_key = env:K\n"
        watcher = Watcher(loaded(file, text, environ), environ)
        environ["K"] = "agp-2"
        assert [watcher.current(now).server.api_key for now in range(2)] == ["agp-1", "agp-1"]
        self.rewrite(file, text + "\n")
        assert [watcher.current(now).server.api_key for now in (2, 4)] == ["agp-1", "agp-2"]

    def test_without_a_file_there_is_nothing_to_watch(self) -> None:
        config = load(None, {})
        assert Watcher(config, {}).current(0) is config

    def test_key_whose_file_is_missing_delays_nothing(self, file: Path) -> None:
        missing = "[account:a]\napi_key = file:key\n"
        watcher = Watcher(loaded(file, missing), {})
        self.rewrite(file, missing + "[log]\nlevel = debug\n")
        os.utime(file, (1, 1))
        settled = time.time() + 1.5
        while time.time() < settled:  # the time of a change cannot be set
            time.sleep(0.1)
        assert watcher.current(0).log.level == "debug"

    def test_file_that_comes_up_later_is_taken(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "agproxy.ini"
        watcher = Watcher(load(None, {}), {}, find=lambda: path if path.exists() else None)
        assert watcher.current(0).accounts[0].type == "demo"
        path.write_text("[account:me]\napi_key = x\n")
        assert [watcher.current(now).accounts[0].name for now in (1, 3, 5)] == ["demo", "me", "me"]
        self.rewrite(path, "[account:you]\napi_key = x\n")
        assert [watcher.current(now).accounts[0].name for now in (6, 8)] == ["me", "you"]


class Edits:
    """A file that is edited while clients come, all at times of its own.

    :param first: its text at the beginning, at the time 0.
    """

    def __init__(self, file: Path, patch: pytest.MonkeyPatch, first: str) -> None:
        self.watcher = Watcher(loaded(file, first), {})
        self._file = file
        self._now = self._written = 0.0
        patch.setattr("time.time_ns", self._time_ns)

    def _time_ns(self) -> int:
        """The wall clock: as much after the file's own time as the last writing is ago."""
        return self._file.stat().st_ctime_ns + round((self._now - self._written) * 1e9)

    def write(self, at: float, text: str) -> None:
        self._now = self._written = at
        with self._file.open("a") as file:  # in place: the same inode
            file.write(text)

    def level(self, at: float) -> str:
        """What a client is served by that comes at this time."""
        self._now = at
        return self.watcher.current(1000.0 + at).log.level


def times(gap: float, phase: float, *, until: float) -> Iterator[float]:
    """When clients come."""
    return itertools.takewhile(lambda at: at < until, (phase * gap + number * gap for number in itertools.count()))


@pytest.mark.parametrize("gap", [0.02, 0.3, 0.5, 0.95, 1.3, 1.9, 7.0])
@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.99])
class TestEdit:
    """However many clients come, and in however many workers: each of these has a watcher of its own."""

    def test_is_in_force_two_seconds_later(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, gap: float, phase: float
    ) -> None:
        edits = Edits(file, monkeypatch, "[log]\n")
        edits.level(0.0)
        edits.write(0.001, "level = debug\n")
        served = {at: edits.level(at) for at in times(gap, phase, until=20) if at > 0.001}
        assert {level for at, level in served.items() if at >= 2.001} == {"debug"}
        assert "debug" not in {level for at, level in served.items() if at < 1.4}

    def test_in_two_halves_is_never_in_force_by_half(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, gap: float, phase: float
    ) -> None:
        edits = Edits(file, monkeypatch, "[log]\n")
        edits.level(0.0)
        edits.write(0.001, "level = debug\n")
        assert "debug" not in {edits.level(at) for at in times(gap, phase, until=0.7) if at > 0.001}
        edits.write(0.701, "[server]\nport = 9000\n")
        level = ""
        for at in times(gap, phase, until=20):
            if at > 0.701:
                level = edits.level(at)
                assert (level == "debug") == (edits.watcher.current(0.0).server.port == 9000)
        assert level == "debug"


def test_file_with_a_time_in_the_future_is_taken_by_our_own_clock(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(loaded(file, "[log]\n"), {})
    with file.open("a") as text:
        text.write("level = debug\n")
    ahead = file.stat().st_ctime_ns - 3600 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: ahead)
    assert [watcher.current(now).log.level for now in (0.0, 1.0, 2.0)] == ["info", "info", "debug"]

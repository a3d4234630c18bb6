"""The configuration is read again when its files change."""

import logging
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

    def test_change_is_taken_at_the_second_check_that_sees_it(self, watcher: Watcher, file: Path) -> None:
        levels = [watcher.current(0.0).log.level]
        self.rewrite(file, "[log]\nlevel = debug\n")
        levels += [watcher.current(now).log.level for now in (0.5, 1.0, 1.5, 2.0)]
        assert levels == ["info", "info", "info", "info", "debug"]

    def test_file_that_is_still_being_written_is_left_alone(self, watcher: Watcher, file: Path) -> None:
        for now, level in enumerate(["debug", "error", "warning"]):
            self.rewrite(file, f"[log]\nlevel = {level}\n")
            assert watcher.current(now).log.level == "info"
        assert watcher.current(3).log.level == "warning"

    def test_change_of_some_age_is_taken_at_once(self, watcher: Watcher, file: Path) -> None:
        self.rewrite(file, "[log]\nlevel = debug\n")
        stamp = file.stat()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time_ns", lambda: stamp.st_ctime_ns + 3 * 10**9)
            assert watcher.current(0.0).log.level == "debug"

    def test_new_key_in_a_key_file_is_taken(self, file: Path) -> None:
        key = file.with_name("key")
        watcher = Watcher(loaded(file, "[account:a]\napi_key = file:key\n"), {})
        assert "No such file" in watcher.current(0).accounts[0].problem
        for start, text in ((10, "first-key"), (20, "second-key")):
            self.rewrite(key, text)
            assert [watcher.current(start + now).accounts[0].api_key for now in (0, 1)][1] == text
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

    def test_mended_edit_is_taken(self, watcher: Watcher, file: Path) -> None:
        self.rewrite(file, "[log]\nlevel = loud\n")
        for now in range(3):
            watcher.current(now)
        self.rewrite(file, "[log]\nlevel = error\n")
        assert [watcher.current(now).log.level for now in (3, 4)] == ["info", "error"]

    def test_vanished_file_keeps_the_old_one_and_says_so_once(
        self, watcher: Watcher, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.unlink()
        assert [watcher.current(now).log.level for now in range(4)] == ["info"] * 4
        assert [record.getMessage() for record in caplog.records] == [
            f"{file} is gone or cannot be read; the configuration read before stays in force"
        ]
        self.rewrite(file, "[log]\nlevel = error\n")
        assert [watcher.current(now).log.level for now in (4, 5)] == ["info", "error"]

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
        for start, text in enumerate(("", "[log]\nlevel = error\n", "[store]\nurl = memory:\n", first)):
            caplog.clear()
            self.rewrite(file, text)
            for now in range(3):
                watcher.current(10 * start + now)
            said.append([record.getMessage() for record in caplog.records if record.levelno == logging.WARNING])
        usual = places.address("", environ)
        words = "restart agproxy to keep state in {}: [store] is read only at the start"
        assert said == [[words.format(usual)], [], [words.format("memory:")], []]

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
        assert [watcher.current(now).server.api_key for now in (2, 3)] == ["agp-1", "agp-2"]

    def test_without_a_file_there_is_nothing_to_watch(self) -> None:
        config = load(None, {})
        assert Watcher(config, {}).current(0) is config

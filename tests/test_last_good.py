"""What the workers of one service agree on, also while the INI cannot be used."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agproxy import last_good
from agproxy.config import Config, load
from agproxy.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")

GOOD = "[account:me]\napi_key = AIza-made-up-key\n"
BROKEN = "[account:me]\napi_keys = AIza-made-up-key\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Names a configuration that can be used."""
    path = tmp_path / "agproxy.ini"
    path.write_text(GOOD)
    path.chmod(0o600)
    return {"AGPROXY_CONFIG": str(path)}


@pytest.fixture
def _shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process and its children agree."""
    notebook = last_good.Notebook()
    monkeypatch.setattr(last_good, "_notebook", notebook)
    yield
    notebook.close()


def edit(environ: dict[str, str], text: str) -> None:
    Path(environ["AGPROXY_CONFIG"]).write_text(text)


def name(config: Config) -> str:
    return config.accounts[0].name


def test_without_a_master_a_file_that_cannot_be_used_is_an_error(environ: dict[str, str]) -> None:
    assert name(last_good.load(environ).last) == "me"
    edit(environ, BROKEN)
    with pytest.raises(ConfigError, match="unknown option 'api_keys'"):
        last_good.load(environ)


@pytest.mark.usefixtures("_shared")
class TestShared:
    def test_none_was_ever_good(self, environ: dict[str, str]) -> None:
        edit(environ, BROKEN)
        with pytest.raises(ConfigError, match="unknown option 'api_keys'"):
            last_good.load(environ)

    def test_what_can_be_used_is_read_anew(self, environ: dict[str, str]) -> None:
        for account in ("me", "other", "third"):
            edit(environ, GOOD.replace("me", account))
            first, last = last_good.load(environ)
            assert (name(first), name(last)) == ("me", account)

    def test_last_that_was_taken_over_by_any(self, environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
        last_good.load(environ)
        edit(environ, GOOD.replace("me", "other"))
        child = os.fork()
        if not child:
            last_good.note(load(Path(environ["AGPROXY_CONFIG"]), {}))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        edit(environ, BROKEN)
        assert caplog.text == ""
        first, last = last_good.load(environ)
        assert (name(first), name(last), last.accounts[0].api_key) == ("me", "other", "AIza-made-up-key")
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "agproxy.ini, line 2: [account:me] unknown option 'api_keys'; did you mean 'api_key'?" in caplog.text

    def test_file_is_gone(self, environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
        last_good.load(environ)
        Path(environ["AGPROXY_CONFIG"]).unlink()
        assert name(last_good.load(environ).last) == "me"
        assert "which is not a file" in caplog.text

    def test_file_was_emptied(self, environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
        last_good.load(environ)
        edit(environ, "")
        assert name(last_good.load(environ).last) == "me"
        assert "agproxy.ini is empty" in caplog.text

    def test_service_that_began_with_an_empty_file(self, environ: dict[str, str]) -> None:
        edit(environ, "")
        for _ in range(2):
            assert name(last_good.load(environ).last) == "demo"

    def test_shorter_one_after_a_longer_one(self, environ: dict[str, str]) -> None:
        edit(environ, GOOD + "".join(f"[account:more-{number}]\napi_key = AIza-x\n" for number in range(50)))
        assert len(last_good.load(environ).last.accounts) == 51
        edit(environ, GOOD)
        last_good.load(environ)
        edit(environ, BROKEN)
        first, last = last_good.load(environ)
        assert (len(first.accounts), len(last.accounts)) == (51, 1)

    def test_whoever_notes_may_be_killed_at_any_time(self, environ: dict[str, str]) -> None:
        first, _ = last_good.load(environ)
        for delay_s in range(20):
            child = os.fork()
            if not child:
                while True:
                    last_good.note(first)
            signal.sigtimedwait([], delay_s / 2000)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            last_good.note(first)
            assert name(last_good.load(environ).last) == "me"

    def test_half_of_what_was_noted_is_nothing(self, environ: dict[str, str]) -> None:
        last_good.load(environ)
        notebook = last_good._notebook
        assert notebook is not None
        os.truncate(notebook._file, 100)
        assert notebook.read() is None
        last_good.load(environ)
        assert notebook.read() is not None

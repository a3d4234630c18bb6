"""``agproxy check``: states, warnings, exit statuses; keys are never shown."""

import os
from pathlib import Path

import pytest

from agproxy.__main__ import main
from agproxy.cli.check import report, warnings
from agproxy.config import Account, Config, Scheduling, Server, Store
from agproxy.store.sqlite import default_path

KEY = "AIza" + "k" * 31 + "tail"
READY = Account("me", api_key=KEY, project="p-1")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    file = tmp_path / "agproxy.ini"
    file.touch(mode=0o600)
    return file


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (f"[account:me]\napi_key = {KEY}\n", 0, "account   me  ready  (gemini, key ...tail)"),
        (f"[account:me]\napi_key = {KEY}\n[account:b]\n", 1, "account   b   out: api_key is empty"),
        (f"[account:me]\napi_key = {KEY}\n[account:b]\ntype = demo\nenabled = off\n", 0, "account   b   off  (demo)"),
        (f"[account:me]\napi_key = {KEY}\nenabled = off\n", 1, "account   me  off"),
        ("[log]\n", 0, "warning   the answers are made up (demo)"),
    ],
)
def test_status_and_states(file: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, words: str) -> None:
    file.write_text(text)
    assert main(["check", "--config", str(file)]) == status
    printed = capsys.readouterr().out
    assert words in printed
    assert str(file) in printed


def test_unusable_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[server]\napi_keys = 1\n")
    assert main(["check", "--config", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err == f"agproxy: {file}, line 2: [server] unknown option 'api_keys'; did you mean 'api_key'?\n"
    assert said.out == ""


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "gone.ini")]) == 2
    assert "gone.ini cannot be read: No such file or directory" in capsys.readouterr().err


def test_place_of_the_state_is_shown_and_not_made(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv("LOCALAPPDATA", str(file.parent))
    for text, shown in (("", f"{default_path(os.environ)}\n"), ("[store]\nurl = sqlite:x/s.db\n", "x/s.db\n")):
        file.write_text(text)
        assert main(["check", "--config", str(file)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines(keepends=True) if line.startswith("store ")]
        assert line.startswith(f"store     sqlite:{file.parent}")
        assert line.endswith(shown)
    file.write_text("[store]\nurl = memory:\n")
    assert main(["check", "--config", str(file)]) == 0
    assert "\nstore     memory:\n" in capsys.readouterr().out
    assert list(file.parent.iterdir()) == [file]


def test_state_that_cannot_be_written_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = Config(accounts=(READY,), store=Store(f"sqlite:{tmp_path}/file/state.db"))
    (warning,) = warnings(config)
    assert warning == f"state can be kept in memory only, for {tmp_path}/file is not a folder; see [store] url"


def test_keys_are_not_shown() -> None:
    config = Config(server=Server(api_key="agp-1"), accounts=(READY, Account("short", api_key="k-short")))
    assert KEY not in report(config)
    assert "agp-1" not in report(config)
    assert "k-short" not in report(config)


@pytest.mark.parametrize(
    ("server", "accounts", "words"),
    [
        (Server(), (READY, Account("b", api_key=KEY)), "me and b have the same key"),
        (
            Server(),
            (READY, Account("b", api_key="k" * 39, project="p-1")),
            "me and b are of one project, p-1: they share",
        ),
        (Server(auth_mode="strict"), (READY,), "[server] api_key is empty, so all requests are refused"),
        (Server(api_key="changeme"), (READY,), "[server] api_key looks like a placeholder"),
        (Server(), (Account("a", api_key="YOUR_API_KEY"),), "the key of a looks like a placeholder"),
        (Server(), (Account("a", api_key="AIza..."),), "the key of a looks like a placeholder"),
        (Server(host="0.0.0.0"), (READY,), "`agproxy serve` will refuse to start: 0.0.0.0 can be called"),
        (Server(host="0.0.0.0", allow_lan_access=True, auth_mode="off"), (READY,), "needs a key"),
        (Server(), (Account("demo", type="demo"),), "the answers are made up"),
    ],
)
def test_warning(server: Server, accounts: tuple[Account, ...], words: str) -> None:
    assert len([warning for warning in warnings(Config(server=server, accounts=accounts)) if words in warning]) == 1


def test_pinned_account_that_is_out_is_warned_about() -> None:
    config = Config(scheduling=Scheduling(pin="b"), accounts=(READY, Account("b", problem="no key")))
    assert warnings(config) == ["[scheduling] pin = b: this account does not serve now"]


@pytest.mark.parametrize("key", [KEY, "agp-phUcwxZmVzC7LCCRT2OFtVgo6QcjKveN7JbY1twYHRM", "AQ.Ab8RN6Kmy-key"])
def test_nothing_to_warn_about(key: str) -> None:
    server = Server(api_key=key, allow_lan_access=True, host="0.0.0.0")
    assert warnings(Config(server=server, accounts=(Account("a", api_key=key), Account("b", type="demo")))) == []


def test_fallback_of_another_vendors_name_is_warned_of() -> None:
    config = Config(
        models=(("gpt-4o", "tuned-x"),),
        fallback=(("gpt-4o", "gemini-flash-latest"), ("tuned-x", "gemini-2.5-pro")),
        accounts=(Account("a", api_key="AIza-a-key-of-mine-123456"),),
    )
    assert warnings(config) == [
        "[fallback] gpt-4o: this is not one of Google's names, as X-Mapped-Model has them",
    ]

"""``agproxy accounts enable``, ``disable``, ``pin`` and ``unpin``: the file, the words, and what is refused."""

import os
from pathlib import Path

import pytest

from agproxy.__main__ import main
from agproxy.cli import accounts_edit
from agproxy.config import load
from agproxy.errors import ConfigError
from tests.cli.conftest import key

INI = f"""\
# mine
[account:me] ; the first
api_key = {key("a")}
enabled = on   ; for now

[account: work]
api_key = {key("b")}
"""


@pytest.fixture
def file(home: Path) -> Path:
    file = home / "agproxy.ini"
    file.write_text(INI)
    file.chmod(0o600)
    return file


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit status of ``agproxy accounts``, and what it said."""
    status = main(["accounts", *words])
    said = capsys.readouterr()
    for letter in "abc":
        assert key(letter) not in said.out + said.err
    return status, said.out + said.err


def test_account_is_disabled_and_enabled_where_its_option_stands(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = ran(capsys, "disable", "me")
    assert (status, said) == (
        0,
        f"me takes no part any more; wrote {file}; a running agproxy takes it over within 2 s\n",
    )
    assert file.read_text() == INI.replace("enabled = on   ;", "enabled = off   ;")
    assert ran(capsys, "enable", "me")[0] == 0
    assert file.read_text() == INI


def test_section_whose_name_has_blanks_around_it_is_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "disable", "work")[0] == 0
    assert file.read_text() == INI + "enabled = off\n"


def test_account_is_pinned_and_let_go(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "pin", "work")[1].startswith("work is pinned; wrote ")
    assert file.read_text() == INI + "\n[scheduling]\npin = work\n"
    assert load(file, {}).scheduling.pin == "work"
    assert ran(capsys, "pin", "me")[0] == 0
    assert file.read_text() == INI + "\n[scheduling]\npin = me\n"
    assert ran(capsys, "unpin")[1].startswith("me is pinned no longer; wrote ")
    assert load(file, {}).scheduling.pin == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enable", "me"), "me is enabled already\n"),
        (("unpin",), "no account is pinned\n"),
    ],
)
def test_file_is_not_touched_when_there_is_nothing_to_change(
    file: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    before = file.stat()
    assert ran(capsys, *words) == (0, said)
    assert file.stat() == before


def test_name_that_nobody_has_comes_with_one_that_is_near(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for job in ("enable", "disable", "pin", "test"):
        assert ran(capsys, job, "wrok") == (2, "agproxy: no account has the name 'wrok'; did you mean 'work'?\n")
    assert ran(capsys, "pin", "zzz") == (2, "agproxy: no account has the name 'zzz'; there is me, work\n")
    assert file.read_text() == INI


def test_what_then_serves_nobody_is_warned_about(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "pin", "me")
    _, said = ran(capsys, "disable", "me")
    assert "warning: [scheduling] pin = me: this account does not serve now\n" in said
    assert "all requests will fail" not in said
    _, said = ran(capsys, "disable", "work")
    assert "warning: no account can be used: all requests will fail until that is mended\n" in said
    assert "pin = me" not in said  # was known before
    ran(capsys, "unpin")
    _, said = ran(capsys, "pin", "me")
    assert "warning: [scheduling] pin = me: this account does not serve now\n" in said


def test_account_that_is_enabled_but_out_is_said_to_be(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[account:me]\napi_key = env:NOT_SET\nenabled = off\n")
    _, said = ran(capsys, "enable", "me")
    assert said.startswith("me takes part, but is out: api_key: the environment variable NOT_SET is not set, or empty;")


@pytest.mark.parametrize("job", ["enable", "disable", "pin"])
def test_account_without_a_section_cannot_be_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str
) -> None:
    status, said = ran(capsys, job, "demo")
    assert (status, "there is no configuration file to change; the demo is built in" in said) == (2, True)
    file = home / "agproxy.ini"
    file.write_text("[log]\n")
    status, said = ran(capsys, job, "demo")
    assert (status, f"demo has no section in {file} to change: the demo is built in" in said) == (2, True)
    monkeypatch.setenv("GEMINI_API_KEY", key("a"))
    status, said = ran(capsys, job, "default")
    assert (status, "`agproxy accounts add NAME --key env:GEMINI_API_KEY` gives it a section" in said) == (2, True)
    assert file.read_text() == "[log]\n"


def test_file_that_is_wrong_is_told_with_its_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(INI + "[server]\nprot = 1\n")
    for words in (("list",), ("pin", "me"), ("enable", "me"), ("unpin",), ("test",), ("add", "c")):
        status, said = ran(capsys, *words)
        expected = f"agproxy: {file}, line 9: [server] unknown option 'prot'; did you mean 'port'?\n"
        assert (status, said) == (2, expected)


def test_file_may_be_named_before_or_after_the_inner_command(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.ini"
    for words in (("--config", str(other), "disable", "me"), ("disable", "me", "--config", str(other))):
        other.write_text("[account:me]\ntype = demo\n")
        assert ran(capsys, *words)[0] == 0
        assert other.read_text() == "[account:me]\ntype = demo\nenabled = off\n"
    assert file.read_text() == INI


def test_change_that_would_not_be_in_order_is_not_made(file: Path) -> None:
    before = accounts_edit.read_file(file)
    with pytest.raises(
        ConfigError, match=r"nothing is changed, for this would not be in order: .*, line 9: \[server\]"
    ):
        accounts_edit.with_content(before, lambda content: content + b"[server]\nprot = 1\n")


def test_file_that_somebody_else_has_just_changed_is_left_alone(file: Path) -> None:
    before = accounts_edit.read_file(file)
    after = accounts_edit.with_content(before, lambda content: content + b"# more\n")
    file.write_text(INI + "# theirs\n")
    with pytest.raises(ConfigError, match="was changed by somebody else just now and is left as it is; try again"):
        accounts_edit.save(before, after)
    assert file.read_text() == INI + "# theirs\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX folders")
def test_file_that_cannot_be_written_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.unlink()
    file.mkdir()
    status, said = ran(capsys, "disable", "me", "--config", str(file))
    assert (status, said) == (2, f"agproxy: {file} cannot be read: Is a directory\n")

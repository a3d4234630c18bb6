"""``agproxy accounts add``: where the key comes from, what is tried, what is written, and what is never shown."""

import io
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agproxy.__main__ import main
from agproxy.config import load
from tests.cli.conftest import key
from tests.fake_google import FakeGoogle
from tests.fake_google import failures as google_says

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and terminals")

# A program that makes its standard input its terminal, as a login does, and becomes another.
_WITH_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Command:
    """``agproxy accounts add`` in this process, with keys sent in on its standard input."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = home / "agproxy.ini"
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def write(self, text: str, mode: int = 0o600) -> None:
        self.file.write_text(text)
        self.file.chmod(mode)

    def run(self, *words: str, sent: str = "") -> tuple[int, str]:
        """The exit status, and what was said; no key is ever a part of it."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(sent))
        try:
            status = main(["accounts", "add", *words])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        said = self._capsys.readouterr()
        for letter in "abcx":
            assert key(letter) not in said.out + said.err
            assert key(letter)[4:12] not in said.out + said.err
        return status, said.out + said.err


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(home, monkeypatch, capsys)


def asked(google: FakeGoogle) -> list[tuple[str, str]]:
    """What the fake was asked, as (method, the letter of the key)."""
    letters = {key(letter): letter for letter in "abcx"}
    return [(request.method, letters.get(request.key or "", "")) for request in google.requests]


# Where the key comes from.


@posix
def test_key_is_typed_unseen_at_a_terminal(home: Path, google: FakeGoogle) -> None:
    (home / "agproxy.ini").write_text("[log]\n")
    (home / "agproxy.ini").chmod(0o600)
    master, slave = os.openpty()
    words = [sys.executable, "-m", "agproxy", "accounts", "add", "me", "--base-url", google.url]
    process = subprocess.Popen(
        [sys.executable, "-c", _WITH_TERMINAL, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    os.close(slave)
    try:
        shown = _read_until(master, "gives one): ")
        os.write(master, key("a").encode() + b"\n")
        shown += _read_until(master, None)
        assert process.wait(10) == 0, shown
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert "key of me (what you type is not shown; https://aistudio.google.com/apikey gives one): " in shown
    assert f"wrote [account:me] (key ...{key('a')[-4:]})" in shown
    assert key("a") not in shown
    assert f"api_key = {key('a')}\n" in (home / "agproxy.ini").read_text()


def _read_until(master: int, words: str | None) -> str:
    """What a terminal shows, until these words or the end."""
    shown, deadline = b"", time.monotonic() + 20
    while words is None or words.encode() not in shown:
        ready, _, _ = select.select([master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more comes after {shown!r}"
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux's way to say that nobody has the other side open
            piece = b""
        if not piece:
            assert words is None, f"it ended after {shown!r}"
            break
        shown += piece
    return shown.decode()


def test_key_is_the_first_line_of_an_input_that_is_no_terminal(home: Path, google: FakeGoogle) -> None:
    (home / "agproxy.ini").write_text("[log]\n")
    (home / "agproxy.ini").chmod(0o600)
    ran = subprocess.run(
        [sys.executable, "-m", "agproxy", "accounts", "add", "me", "--base-url", google.url],
        input=f"  {key('a')}\r\nmore\n",
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert key("a") not in ran.stdout
    assert (home / "agproxy.ini").read_text() == (
        f"[log]\n\n[account:me]\napi_key = {key('a')}\nbase_url = {google.url}\n"
    )


@posix
def test_closed_input_is_no_key(home: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m agproxy accounts add me <&-"],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (ran.returncode, ran.stderr.startswith("agproxy: no key was given")) == (2, True)


@pytest.mark.parametrize("sent", ["", "\n", "  \n", "\ufeff\n"])
def test_no_key_is_an_error(command: Command, sent: str) -> None:
    assert command.run("me", sent=sent) == (
        2,
        "agproxy: no key was given: type it when asked, or send it in as one line, or name it by --key\n",
    )
    assert not command.file.exists()


def test_question_that_is_broken_off_changes_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def isatty(self) -> bool:
            return False

        def readline(self) -> str:
            raise KeyboardInterrupt

    command.write("[log]\n")
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert main(["accounts", "add", "me"]) == 130
    assert capsys.readouterr() == ("", "\n")
    assert command.file.read_text() == "[log]\n"


def test_key_may_be_where_an_environment_variable_or_a_file_has_it(
    command: Command, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.write("[log]\n", mode=0o644)
    monkeypatch.setenv("MY_KEY", key("a"))
    (command.file.parent / "secret").write_text(key("b") + "\n")
    status, said = command.run("a", "--key", "env:MY_KEY", "--base-url", google.url)
    assert (status, "note: agproxy takes the key from MY_KEY, which must be set where it runs\n" in said) == (0, True)
    assert command.run("b", "--key", "file:secret", "--base-url", google.url)[0] == 0
    assert asked(google) == [("listModels", "a"), ("countTokens", "a"), ("listModels", "b"), ("countTokens", "b")]
    text = command.file.read_text()
    assert "[account:a]\napi_key = env:MY_KEY\n" in text
    assert "[account:b]\napi_key = file:secret\n" in text
    if os.name != "nt":
        assert command.file.stat().st_mode & 0o777 == 0o644  # no key stands in it


def test_key_that_cannot_be_read_here_is_written_without_a_test_only(command: Command) -> None:
    command.write("[log]\n")
    status, said = command.run("me", "--key", "env:ELSEWHERE")
    assert (status, said) == (
        2,
        "agproxy: the key cannot be used: the environment variable ELSEWHERE is not set, or empty; if the running"
        " agproxy can read it, add --no-test\n",
    )
    assert command.run("me", "--key", "env:ELSEWHERE", "--no-test")[0] == 0
    assert command.file.read_text() == "[log]\n\n[account:me]\napi_key = env:ELSEWHERE\n"


def test_key_is_never_an_argument(command: Command) -> None:
    for words in (("me", "--key", key("a")), ("me", key("a")), (key("a"),), ("me", "--email", "e", "--kez", key("a"))):
        status, said = command.run(*words, sent=key("b"))
        assert status == 2, said
    assert "all users of the machine can see it" in command.run("me", "--key", key("a"))[1]
    assert "looks like a key; give a name, such as 'me'" in command.run(key("a"))[1]
    assert not command.file.exists()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (f"{key('a')} {key('b')}", "the key has a space or a line break in it"),
        (f'"{key("a")}"', "is written without quotes"),
        (f"{key('a')}\u2026", "the key has a character outside ASCII"),
        (f";{key('a')}", "api_key cannot have this value in an INI file"),
        ("env:", "the environment variable  is not set"),
    ],
)
def test_key_that_is_none_is_refused_in_words_without_it(command: Command, sent: str, words: str) -> None:
    command.write("[log]\n")
    for more in ((), ("--no-test",)):
        status, said = command.run("me", *more, sent=sent)
        assert (status, words in said) == (2, True), said
    assert command.file.read_text() == "[log]\n"


# The name, and other accounts.


def test_name_is_checked_before_a_key_is_asked_for(command: Command) -> None:
    command.write(f"[account:me]\napi_key = {key('a')}\n")
    status, said = command.run("me")
    assert (status, said) == (2, f"agproxy: there is an account 'me' already, [account:me] in {command.file}\n")
    status, said = command.run("my account")
    expected = "agproxy: 'my account': an account's name is made of letters, digits and . _ @ + -\n"
    assert (status, said) == (2, expected)


def test_key_that_another_account_has_is_refused(command: Command) -> None:
    command.write(f"[server]\napi_key = agp-mine\n[account:me]\nenabled = off\napi_key = {key('a')}\n")
    assert command.run("you", sent=key("a")) == (2, "agproxy: me has the same key; one key twice adds nothing\n")
    assert "is the key that clients send to agproxy" in command.run("you", sent="agp-mine")[1]


def test_second_key_of_a_project_is_warned_about(command: Command) -> None:
    command.write(f"[account:me]\nproject = p-1\napi_key = {key('a')}\n")
    status, said = command.run("you", "--project", "p-1", "--no-test", sent=key("b"))
    assert (status, "warning: me and you are of one project, p-1: they share one quota\n" in said) == (0, True)


# What is written.


@posix
def test_section_has_all_that_was_said_and_the_rest_stays(command: Command, google: FakeGoogle) -> None:
    before = f"# mine\n[account:me]\napi_key = {key('a')} ; the first"
    command.write(before, mode=0o644)
    words = (
        "--email",
        "you@example.com",
        "--project",
        "p-2",
        "--priority",
        "-3",
        "--base-url",
        f"{google.url}/v1beta/",
    )
    status, said = command.run("you", *words, sent=key("b"))
    assert status == 0
    assert command.file.read_text() == (
        f"{before}\n\n[account:you]\nemail = you@example.com\nproject = p-2\napi_key = {key('b')}\n"
        f"base_url = {google.url}\npriority = -3"
    )
    assert re.search(
        rf"^key accepted, \d+ models listed; gemini-flash-latest is there; \d+ ms\nwrote \[account:you\] "
        rf"\(key \.\.\.{key('b')[-4:]}\) to {command.file}; a running agproxy takes it over within 2 s\n"
        rf"note: every user of this machine could read {command.file}; now only its owner can \(mode 0600\)",
        said,
    )
    assert command.file.stat().st_mode & 0o777 == 0o600
    assert load(command.file, {}).accounts[1].priority == -3


@posix
def test_without_a_file_one_is_made_as_init_makes_it(command: Command, home: Path, google: FakeGoogle) -> None:
    status, said = command.run("me", "--base-url", google.url, sent=key("a"))
    assert status == 0
    (file,) = home.rglob("agproxy.ini")
    config = load(file, {})
    assert (config.accounts[0].api_key, config.server.api_key[:4]) == (key("a"), "agp-")
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"note: {file} is new, and has a new api_key for your clients; keep it to yourself\n" in said
    assert config.server.api_key not in said
    assert "note: the demo serves no longer." in said


def test_file_that_is_named_and_missing_is_made(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.run("me", "--no-test", "--config", str(home / "new" / "a.ini"), sent=key("a"))[0] == 0
    monkeypatch.setenv("AGPROXY_CONFIG", str(home / "b.ini"))
    assert command.run("me", "--no-test", sent=key("a"))[0] == 0
    for file in (home / "new" / "a.ini", home / "b.ini"):
        assert [account.name for account in load(file, {}).accounts] == ["me"]


@posix
def test_file_that_cannot_be_made_is_told(command: Command, home: Path) -> None:
    (home / "file").touch()
    status, said = command.run("me", "--no-test", "--config", str(home / "file" / "a.ini"), sent=key("a"))
    assert (status, said) == (2, f"agproxy: {home}/file/a.ini cannot be written: Not a directory\n")


@pytest.mark.parametrize("option", ["--email", "--project"])
@pytest.mark.parametrize("value", ["a #b", '"a"', "a\nb", "a ;b"])
def test_value_that_an_ini_cannot_hold_is_refused(command: Command, option: str, value: str) -> None:
    command.write("[log]\n")
    assert command.run("me", option, value, sent=key("a"))[0] == 2
    assert command.file.read_text() == "[log]\n"


# The account that GEMINI_API_KEY makes.


def test_account_of_the_environment_gets_a_section_so_that_it_goes_on(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", key("a"))
    command.write("[scheduling]\npin = default\n")
    status, said = command.run("me", "--no-test", sent=key("b"))
    assert (
        status,
        "so that one is named there now, too: [account:default] with api_key = env:GEMINI_API_KEY" in said,
    ) == (
        0,
        True,
    )
    assert command.file.read_text() == (
        "[scheduling]\npin = default\n\n[account:default]\napi_key = env:GEMINI_API_KEY\n"
        f"\n[account:me]\napi_key = {key('b')}\n"
    )


def test_account_of_the_environment_is_replaced_by_one_of_its_key(
    command: Command, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", key("a"))
    for name in ("me", "default"):
        command.write("[log]\n")
        status, said = command.run(name, "--key", "env:GEMINI_API_KEY", "--base-url", google.url)
        assert (status, f"note: {name} takes the place of default, which GEMINI_API_KEY made\n" in said) == (0, True)
        expected = f"[log]\n\n[account:{name}]\napi_key = env:GEMINI_API_KEY\nbase_url = {google.url}\n"
        assert command.file.read_text() == expected


def test_name_of_the_account_of_the_environment_is_taken(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", key("a"))
    command.write("[log]\n")
    status, said = command.run("default", "--no-test", sent=key("b"))
    assert (status, "'default' is the account that GEMINI_API_KEY makes, with another key" in said) == (2, True)
    assert command.file.read_text() == "[log]\n"


# The test.


def test_key_that_google_refuses_is_not_written(command: Command, google: FakeGoogle) -> None:
    command.write("[log]\n")
    status, said = command.run("me", "--base-url", google.url, sent=key("x"))
    assert status == 1
    assert said.startswith("agproxy: Google refuses the key: API key not valid. Please pass a valid API key.; ")
    assert said.endswith("agproxy: nothing was written; with --no-test it would be, all the same\n")
    assert "does not tell" not in said
    assert command.file.read_text() == "[log]\n"
    assert command.run("me", "--no-test", "--base-url", google.url, sent=key("x"))[0] == 0
    assert f"api_key = {key('x')}\n" in command.file.read_text()


def test_failure_that_says_nothing_about_the_key_says_so(command: Command, google: FakeGoogle) -> None:
    command.write("[log]\n")
    google.enqueue(google_says.unavailable(), google_says.html(404), method="listModels")
    for words in ("currently experiencing high demand", "the models cannot be listed: "):
        status, said = command.run("me", "--base-url", google.url, sent=key("a"))
        assert (status, words in said, "this does not tell whether the key is good" in said) == (1, True, True)
    status, said = command.run("me", "--base-url", "http://127.0.0.1:1", sent=key("a"))
    assert (status, "cannot reach 127.0.0.1: the connection was refused; this does not tell" in said) == (1, True)
    assert command.file.read_text() == "[log]\n"


def test_file_may_change_while_the_key_is_tried(command: Command, google: FakeGoogle) -> None:
    command.write("[log]\n")
    models = google_says.raw(b'{"models": []}', content_type="application/json")

    def changing(_: object) -> object:
        command.write("[log]\nlevel = debug\n")
        return models

    google.enqueue(changing, method="listModels")  # type: ignore[arg-type]
    assert command.run("me", "--base-url", google.url, sent=key("a"))[0] == 0
    assert command.file.read_text().startswith("[log]\nlevel = debug\n\n[account:me]\n")

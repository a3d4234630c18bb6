"""``agproxy serve`` up to the start of the server: refusals, gunicorn's arguments, the banner."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agproxy
from agproxy.__main__ import main
from agproxy.cli import gunicorn_settings
from agproxy.cli.serve import banner, check_exposure, gunicorn_argv, port_problem
from agproxy.config import Account, Config, Log, Server
from agproxy.errors import ConfigError

DEMO = Account("demo", type="demo", source="built in")
ME = Account("me", api_key="AIza" + "k" * 35, source="[account:me]")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def shown(config: Config, host: str = "127.0.0.1") -> str:
    return banner(config, host=host, port=8045)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"agproxy {agproxy.__version__}\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_may_always_be_listened_on(host: str) -> None:
    check_exposure(Server(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.lan"])
def test_other_machines_are_let_in_only_with_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="allow_lan_access = on and an api_key"):
        check_exposure(Server(auth_mode="strict"), host)
    with pytest.raises(ConfigError, match="needs a key"):
        check_exposure(Server(allow_lan_access=True, auth_mode="off"), host)
    check_exposure(Server(allow_lan_access=True), host)


def test_port_that_is_in_use(taken_port: int) -> None:
    assert port_problem("127.0.0.1", taken_port).startswith(f"port {taken_port} of 127.0.0.1 is in use; stop that")


def test_address_of_another_machine() -> None:
    assert "cannot listen on 192.0.2.1, which must be an address of this machine" in port_problem("192.0.2.1", 8045)


def test_command_stops_on_a_port_in_use(tmp_path: Path, taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agproxy.ini"
    file.write_text(f"[server]\nport = {taken_port}\n")
    assert main(["serve", "--config", str(file)]) == 1
    said = capsys.readouterr()
    assert (said.out, f"port {taken_port}" in said.err) == ("", True)


def test_command_stops_on_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agproxy.ini"
    file.write_text("[server]\nport = none\n")
    assert main(["serve", "--config", str(file)]) == 2
    assert f"{file}, line 2: [server] port = none: must be a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--host", "http://127.0.0.1"], ["--workers", "0"]])
def test_argument_out_of_range(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments])
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: {arguments[1]}: must be " in capsys.readouterr().err


def test_gunicorns_arguments() -> None:
    argv = gunicorn_argv(Config(), host="::1", port=8045, workers=2)
    assert argv == [
        *(sys.executable, "-m", "gunicorn", "--config", "python:agproxy.cli.gunicorn_settings"),
        *("--bind", "[::1]:8045", "--workers", "2", "--log-level", "warning", "agproxy.wsgi:app"),
    ]


def test_gunicorn_says_more_when_the_log_does() -> None:
    argv = gunicorn_argv(Config(log=Log(level="debug")), host="127.0.0.1", port=8045, workers=1)
    assert argv[argv.index("--log-level") + 1] == "debug"


@pytest.mark.skipif(os.name == "nt", reason="gunicorn does not run on Windows")
def test_gunicorn_knows_its_settings() -> None:
    from gunicorn.config import KNOWN_SETTINGS

    known = {setting.name for setting in KNOWN_SETTINGS}
    ours = {name for name in vars(gunicorn_settings) if not name.startswith("_")}
    assert ours - known <= {"control_socket_disable"}  # gunicorn before 25 has no control socket


def test_banner_names_file_base_url_and_upstream() -> None:
    text = shown(Config(path=Path("/etc/agproxy.ini"), accounts=(ME, Account("b", problem="no key"))))
    assert "config    /etc/agproxy.ini\n" in text
    assert "Base URL  http://127.0.0.1:8045/v1  for OpenAI clients" in text
    assert "Gemini API at https://generativelanguage.googleapis.com, account me ([account:me]): ready" in text
    assert "account b (): out: no key" in text
    assert "curl http://127.0.0.1:8045/v1/chat/completions -H" in text
    assert "MADE UP" not in text
    assert ME.api_key not in text


def base_urls(text: str) -> list[tuple[str, str]]:
    """The addresses that the banner names, each with who it is for."""
    after = text.partition("Base URL")[2].partition("Try it")[0]
    return [(url, words.strip()) for url, words in re.findall(r"(http\S+)(.*)", after)]


def test_banner_names_the_base_urls_of_all_clients() -> None:
    openai, others = base_urls(shown(Config(accounts=(ME,))))
    assert openai[0] == "http://127.0.0.1:8045/v1"
    assert "OPENAI_BASE_URL" in openai[1]
    assert others[0] == "http://127.0.0.1:8045"  # these clients add the version themselves
    assert "ANTHROPIC_BASE_URL" in others[1]
    assert "GOOGLE_GEMINI_BASE_URL" in others[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_banner_says_how_other_machines_reach_both(host: str) -> None:
    *here, elsewhere = base_urls(shown(Config(accounts=(ME,)), host))
    assert [url for url, _ in here] == ["http://127.0.0.1:8045/v1", "http://127.0.0.1:8045"]
    assert elsewhere == ("http://ADDRESS-OF-THIS-MACHINE:8045", "from other machines, with or without /v1")


def test_banner_says_demo_loudly_and_the_way_out_of_it() -> None:
    text = shown(Config(accounts=(DEMO,)))
    assert "THE ANSWERS ARE MADE UP" in text
    assert "GEMINI_API_KEY" in text
    assert "[account:me]" in text


def test_banner_says_that_no_account_can_be_used() -> None:
    assert "NO ACCOUNT CAN BE USED" in shown(Config(accounts=(Account("b", problem="no key"),)))


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Server(), "auth      off: callers on this machine only"),
        (Server(auth_mode="strict", api_key="agp-1"), "auth      strict: clients send the api_key"),
        (Server(allow_lan_access=True, api_key="agp-1"), "auth      all_except_health: clients send the api_key"),
        (Server(auth_mode="strict"), "api_key is empty, so all requests are refused"),
    ],
)
def test_banner_says_who_is_served(server: Server, words: str) -> None:
    text = shown(Config(server=server, accounts=(ME,)))
    assert words in text
    assert ('"Authorization: Bearer $KEY"' in text) == ("off" not in words)
    assert "agp-1" not in text


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8045/v1"), ("::1", "http://[::1]:8045/v1"), ("box", "http://box:8045/v1")],
)
def test_banner_gives_a_url_that_works(host: str, url: str) -> None:
    assert f"Base URL  {url}  for" in shown(Config(accounts=(ME,)), host)

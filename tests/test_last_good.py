"""The configuration that is remembered for workers that start while the file cannot be used."""

import logging
from pathlib import Path

import pytest

from agproxy import last_good
from agproxy.config import Config
from agproxy.errors import ConfigError

GOOD = "[account:me]\napi_key = AIza-made-up-key\n"
BROKEN = "[account:me]\napi_keys = AIza-made-up-key\n"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names a configuration that can be used. Nothing is remembered."""
    monkeypatch.setattr(last_good, "_remembered", None)
    path = tmp_path / "agproxy.ini"
    path.write_text(GOOD)
    path.chmod(0o644)
    return {"AGPROXY_CONFIG": str(path)}


def edit(environ: dict[str, str], text: str) -> None:
    Path(environ["AGPROXY_CONFIG"]).write_text(text)


def name(config: Config) -> str:
    return config.accounts[0].name


def test_what_can_be_used_is_read_anew(environ: dict[str, str]) -> None:
    last_good.remember(environ)
    edit(environ, GOOD.replace("me", "other"))
    assert name(last_good.load(environ)) == "other"


def test_last_that_could_be_used(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    last_good.remember(environ)
    edit(environ, GOOD.replace("me", "other"))
    last_good.remember(environ)
    assert caplog.text == "", "that others can read the keys is told by those who use them"
    edit(environ, BROKEN)
    last_good.remember(environ)
    assert caplog.text == ""
    assert name(last_good.load(environ)) == "other"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "agproxy.ini, line 2: [account:me] unknown option 'api_keys'; did you mean 'api_key'?" in caplog.text


def test_file_is_gone(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    last_good.remember(environ)
    Path(environ["AGPROXY_CONFIG"]).unlink()
    assert name(last_good.load(environ)) == "me"
    assert "which is not a file" in caplog.text


def test_none_was_ever_good(environ: dict[str, str]) -> None:
    edit(environ, BROKEN)
    last_good.remember(environ)
    with pytest.raises(ConfigError, match="unknown option 'api_keys'"):
        last_good.load(environ)

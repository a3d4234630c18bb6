"""``agproxy init``: the file, its privacy, and what is never overwritten."""

import os
import re
from pathlib import Path

import pytest

from agproxy.__main__ import main
from agproxy.cli.files import write_private
from agproxy.config import load

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home that nothing outside leads away from; also the current folder."""
    for name in ("AGPROXY_CONFIG", "XDG_CONFIG_HOME", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_starter_loads_with_a_key_of_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for name in ("a.ini", "b.ini"):
        assert main(["init", name]) == 0
        config = load(home / name, {})
        assert re.fullmatch(r"agp-[A-Za-z0-9_-]{43}", config.server.api_key)
        assert [account.type for account in config.accounts] == ["demo"]
        assert config.server.api_key not in capsys.readouterr().out
        keys.add(config.server.api_key)
    assert len(keys) == 2


def test_starters_account_works_once_its_signs_are_taken_off(home: Path) -> None:
    main(["init", "a.ini"])
    file = home / "a.ini"
    file.write_text(
        re.sub(r"^#(?=\[account|api_key)", "", file.read_text(), flags=re.MULTILINE).replace("...", "x" * 35)
    )
    (account,) = load(file, {}).accounts
    assert (account.name, account.problem) == ("me", "")


@posix
def test_file_and_new_folders_are_private(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "new/deep/agproxy.ini"]) == 0
    modes = [(home / name).stat().st_mode & 0o777 for name in ("new", "new/deep", "new/deep/agproxy.ini")]
    assert modes == [0o700, 0o700, 0o600]
    assert f"agproxy serve --config {home}/new/deep/agproxy.ini" in capsys.readouterr().out


def test_without_a_path_it_is_the_users_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    written = list(home.rglob("agproxy.ini"))
    assert len(written) == 1
    assert "then: agproxy serve\n" in capsys.readouterr().out


def test_without_a_path_it_is_the_one_that_agproxy_config_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGPROXY_CONFIG", str(home / "named.ini"))
    assert main(["init"]) == 0
    assert (home / "named.ini").is_file()


def test_folder_gets_a_file_of_the_usual_name(home: Path) -> None:
    assert main(["init", "."]) == 0
    assert (home / "agproxy.ini").is_file()


def test_existing_file_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "agproxy.ini").write_text("mine")
    assert main(["init", "agproxy.ini"]) == 1
    assert (home / "agproxy.ini").read_text() == "mine"
    assert "--force replaces it" in capsys.readouterr().err


@posix
def test_force_replaces_it_and_makes_it_private(home: Path) -> None:
    file = home / "agproxy.ini"
    file.write_text("mine")
    file.chmod(0o644)
    assert main(["init", "agproxy.ini", "--force"]) == 0
    assert load(file, {}).server.api_key.startswith("agp-")
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(home.iterdir()) == [file]


def test_if_none_does_nothing_when_there_is_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "agproxy.ini").write_text("[log]\n")
    assert main(["init", "--if-none"]) == 0
    assert (capsys.readouterr().out, list(home.iterdir())) == ("", [home / "agproxy.ini"])


@posix
def test_folder_that_cannot_be_made(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "file").touch()
    assert main(["init", "file/agproxy.ini"]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


@posix
def test_no_home_asks_for_a_path(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert main(["init"]) == 2
    assert "agproxy init PATH" in capsys.readouterr().err


@posix
def test_dangling_link_is_not_followed(home: Path) -> None:
    (home / "link.ini").symlink_to(home / "target.ini")
    with pytest.raises(FileExistsError):
        write_private(home / "link.ini", b"text", replace=False)
    assert not (home / "target.ini").exists()

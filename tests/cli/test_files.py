"""Writing a file that may hold keys: what it was is kept, and nothing is lost."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agproxy.cli.files import FileChangedError, read, rewrite

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "agproxy.ini"
    file.write_bytes(b"old")
    return file


def rewritten(path: Path, content: bytes = b"new", *, private: bool = False) -> bool:
    _, stamp = read(path)
    return rewrite(path, content, since=stamp, private=private)


def failing_once(call: Callable[..., Any], number: int) -> Callable[..., Any]:
    """A system call that fails so the first time."""
    errors = [OSError(number, os.strerror(number))]

    def fails(*args: Any) -> Any:
        if errors:
            raise errors.pop()
        return call(*args)

    return fails


def test_file_is_replaced_as_a_whole(file: Path) -> None:
    inode = file.stat().st_ino
    assert rewritten(file) is False
    assert (file.read_bytes(), list(file.parent.iterdir())) == (b"new", [file])
    assert file.stat().st_ino != inode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_mode_stays(file: Path, mode: int) -> None:
    file.chmod(mode)
    rewritten(file)
    assert file.stat().st_mode & 0o777 == mode


@posix
@pytest.mark.parametrize(
    ("mode", "after", "hidden"), [(0o644, 0o600, True), (0o604, 0o600, True), (0o640, 0o640, False)]
)
def test_what_is_private_is_taken_from_other_users(file: Path, mode: int, after: int, hidden: bool) -> None:
    file.chmod(mode)
    assert rewritten(file, private=True) is hidden
    assert file.stat().st_mode & 0o777 == after


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="only root gives files away")
def test_owner_stays(file: Path) -> None:
    os.chown(file, 12345, 12346)
    rewritten(file)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12346)


@posix
def test_link_stays_one_and_what_it_leads_to_is_changed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "agproxy.ini"
    link.symlink_to("../agproxy.ini")
    rewritten(link)
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert list(link.parent.iterdir()) == [link]


@posix
def test_file_of_two_names_keeps_both(file: Path) -> None:
    other = file.with_name("other.ini")
    os.link(file, other)
    file.chmod(0o644)
    assert rewritten(file, b"n", private=True) is True
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"n", 0o600)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EROFS])
def test_file_that_cannot_be_replaced_is_written_over(file: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Such as one that is mounted by itself into a container."""
    monkeypatch.setattr(os, "replace", failing_once(os.replace, number))
    inode = file.stat().st_ino
    rewritten(file, b"ne")
    assert (file.read_bytes(), list(file.parent.iterdir())) == (b"ne", [file])
    assert file.stat().st_ino == inode


def test_full_disk_leaves_all_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", failing_once(os.replace, errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        rewritten(file)
    assert (file.read_bytes(), list(file.parent.iterdir())) == (b"old", [file])


@posix
def test_full_disk_leaves_what_is_written_over_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(file, file.with_name("other.ini"))
    real, steps = os.write, iter(["half", "fail"])

    def write(descriptor: int, content: bytes) -> int:
        step = next(steps, "")
        if step == "fail":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content[:2] if step else content)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left"):
        rewritten(file, b"longer than before")
    assert file.read_bytes() == b"old"


def test_file_that_was_changed_meanwhile_is_left_alone(file: Path) -> None:
    _, stamp = read(file)
    file.write_bytes(b"theirs")
    with pytest.raises(FileChangedError):
        rewrite(file, b"new", since=stamp, private=False)
    assert (file.read_bytes(), list(file.parent.iterdir())) == (b"theirs", [file])


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write all")
def test_file_that_is_read_only_is_left_alone(file: Path) -> None:
    file.chmod(0o400)
    with pytest.raises(PermissionError):
        rewritten(file)
    assert file.read_bytes() == b"old"

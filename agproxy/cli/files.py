"""Writing the INI, which may hold keys: a new one that is private, or a changed one in the place of the old."""

import errno
import os
import secrets
import stat
from pathlib import Path

from agproxy.stamps import Stamp

# A folder that may not be written, a file that is mounted by itself (as containers do), a system that replaces no open
# file: the file itself may still be writable.
_IRREPLACEABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


class FileChangedError(Exception):
    """Somebody else has written the file since it was read."""


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file that nobody else can read, at no moment; folders that are missing are private too.

    :raises FileExistsError: it exists, and is not to be replaced.
    """
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    target = _beside(path) if replace else path
    descriptor = _new(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if replace:
            target.replace(path)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def read(path: Path) -> tuple[bytes, Stamp]:
    """What a file holds, and the state that it was in then."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        return file.read(), Stamp.of(state)


def rewrite(path: Path, content: bytes, *, since: Stamp, private: bool) -> bool:
    """Give a file other content. Its owner, its mode and a link that leads to it stay.

    It is replaced as a whole, so that nobody reads half of it; where it cannot be, it is written over.

    :param since: the state in which it was read.
    :param private: take it from other users than owner and group, if they may read it; then only the owner may.
    :returns: whether that was done.
    :raises FileChangedError: it is in another state now.
    :raises OSError: it cannot be written; it is as it was.
    """
    path = Path(os.path.realpath(path))
    state = path.stat()
    if Stamp.of(state) != since:
        raise FileChangedError
    if not os.access(path, os.W_OK):  # a file that was made read-only is not replaced either
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    mode = stat.S_IMODE(state.st_mode)
    hides = private and os.name != "nt" and bool(mode & stat.S_IROTH)
    mode = 0o600 if hides else mode
    if _is_plain(path, state) and _replace(path, content, state, mode):
        return hides
    if hides:
        path.chmod(mode)  # before the key is in it
    _write_over(path, content)
    return hides


def _replace(path: Path, content: bytes, state: os.stat_result, mode: int) -> bool:
    """Put a new file in the place of the old one; whether that could be done."""
    target = _beside(path)
    try:
        descriptor = _new(target)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _take_over(target, state, mode)
            os.replace(target, path)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno not in _IRREPLACEABLE:
            raise
        return False
    return True


def _take_over(target: Path, state: os.stat_result, mode: int) -> None:
    """Give a file the owner and the mode of another."""
    if os.name == "nt":
        return
    own = target.stat()
    if (own.st_uid, own.st_gid) != (state.st_uid, state.st_gid):
        os.chown(target, state.st_uid, state.st_gid)
    target.chmod(mode)


def _write_over(path: Path, content: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        before = file.read()
        try:
            _write(file.fileno(), content)
        except OSError:
            _write(file.fileno(), before)
            raise


def _write(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _is_plain(path: Path, state: os.stat_result) -> bool:
    """Whether a new file can have all that this one has: it has no second name, and no rights but those of its mode."""
    if state.st_nlink > 1:
        return False
    listxattr = getattr(os, "listxattr", None)  # on Linux alone
    if listxattr is None:
        return True
    try:
        return not any(name.startswith("system.") for name in listxattr(path))  # access control lists
    except OSError:  # of a file system that has none
        return True


def _beside(path: Path) -> Path:
    """A name for a file in the same folder, which nobody else will take."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)

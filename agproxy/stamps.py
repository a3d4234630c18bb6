"""What tells that a file has changed."""

import os
from pathlib import Path
from typing import NamedTuple


class Stamp(NamedTuple):
    """What tells one state of a file from another; the change time sees a ``chmod`` too."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, state: os.stat_result) -> "Stamp":
        return cls(state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)


def stamp_of(path: Path) -> Stamp | None:
    """The state of a file; None for one that does not exist or cannot be looked at."""
    try:
        return Stamp.of(path.stat())
    except OSError:
        return None

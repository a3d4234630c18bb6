"""Prints the fault matrix, and says whether all of it is as it must be.

What a client may see: a whole answer; an error and its HTTP status; broken, which is its protocol's error in a stream
that has begun. A connection that breaks off (cut) tells that something is missing, too, but only a killed worker may do
that. Where clients that want a whole answer see something else than those that want a stream (of Gemini: of events, or
of an array), one stands after the other.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from tests.faults import served, stage
from tests.faults.outcome import Mode
from tests.faults.stage import Cell
from tests.faults.table import FAULTS, RUNNING
from tests.tongues import TONGUES

_NAME = 47
_CELL = 18


def main(argv: Sequence[str]) -> int:
    """Run the faults that are asked for.

    :returns: 1 when something is not as it must be, 2 when there is no such fault.
    """
    description, _, legend = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="tools/faults", description=description, epilog=legend)
    parser.add_argument("words", nargs="*", help="words in the names of the faults to run; without any, all are run")
    words: list[str] = parser.parse_args(argv).words
    logging.getLogger("agproxy").addHandler(logging.NullHandler())  # what it warns of is what is wanted here
    logging.getLogger("agproxy").propagate = False
    chosen = [(name, run) for name, run in _faults() if not words or any(word in name for word in words)]
    if not chosen:
        parser.error("no fault has these words in its name")
    began = time.monotonic()
    print(legend)
    print(f"{'fault':{_NAME}}{'at most':>9}  {''.join(f'{protocol:{_CELL}}' for protocol in TONGUES)}".rstrip())
    cells = [cell for name, run in chosen for cell in _shown(name, run)]
    wrong = sum(bool(cell.complaints) for cell in cells)
    verdict = f"{wrong} are not as they must be" if wrong else "all are as they must be"
    print(f"{len(chosen)} faults, {len(cells)} outcomes, {time.monotonic() - began:.0f} s: {verdict}")
    return 1 if wrong else 0


def _faults() -> Iterator[tuple[str, Callable[[], Mapping[tuple[str, Mode], Cell]]]]:
    for fault in FAULTS:
        yield fault.name, partial(stage.run, fault)
    for each in RUNNING:
        if each.can_be():
            yield each.name, partial(served.run, each)


def _shown(name: str, run: Callable[[], Mapping[tuple[str, Mode], Cell]]) -> list[Cell]:
    """The cells of a row, which is printed."""
    row = run()
    ms = max(cell.ms for cell in row.values())
    print(f"{name:{_NAME}}{ms:6.0f} ms  {''.join(_seen(row, protocol) for protocol in TONGUES)}".rstrip(), flush=True)
    for (protocol, mode), cell in row.items():
        for complaint in cell.complaints:
            print(f"  ! {protocol} {mode}: {' '.join(complaint.split())[:500]}", flush=True)
    return list(row.values())


def _seen(row: Mapping[tuple[str, Mode], Cell], protocol: str) -> str:
    """What the clients of a protocol see."""
    cells = [cell for (each, _), cell in row.items() if each == protocol]
    outcomes = [("!" if cell.complaints else "") + str(cell.outcome) for cell in cells]
    return f"{'/'.join(outcomes[:1] if len(set(outcomes)) == 1 else outcomes):{_CELL}}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Whatever goes wrong, each client sees a whole answer or its protocol's error, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.outcome import WAYS
from tests.faults.stage import Fault, run
from tests.faults.table import FAULTS
from tests.tongues import TONGUES


def test_all_protocols_are_asked_streamed_and_whole() -> None:
    assert {protocol for protocol, _ in WAYS} == TONGUES.keys()
    assert {(protocol, mode) for protocol in TONGUES for mode in ("whole", "stream")} <= set(WAYS)


def test_each_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_client_sees_what_it_must_and_nothing_is_left(fault: Fault) -> None:
    row = run(fault)
    complaints = [f"{protocol} {mode}: {each}" for (protocol, mode), cell in row.items() for each in cell.complaints]
    assert not complaints, "\n".join(complaints)


@pytest.mark.slow
def test_table_is_printed_and_the_same_holds_under_gevent() -> None:
    """agproxy runs under gevent mostly; there its threads are greenlets, and so are those of the fake."""
    argv = [sys.executable, "-m", "tests.faults.under_gevent"]
    run = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    *_, last = run.stdout.splitlines()
    assert last.endswith("all are as they must be")
    assert all(any(line.startswith(fault.name) for line in run.stdout.splitlines()) for fault in FAULTS)

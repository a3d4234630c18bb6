"""Faults of a running server: what its clients see when a worker dies, or when its state fails."""

import pytest

from tests.faults.served import Served, run
from tests.faults.table import RUNNING


@pytest.mark.parametrize("fault", RUNNING, ids=lambda fault: fault.name)
def test_client_sees_what_it_must_and_nothing_is_left(fault: Served) -> None:
    if not fault.can_be():
        pytest.skip("this cannot be brought about here")
    complaints = [f"{' '.join(way)}: {each}" for way, cell in run(fault).items() for each in cell.complaints]
    assert not complaints, "\n".join(complaints)

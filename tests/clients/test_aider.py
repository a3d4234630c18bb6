"""The checks of ``aider`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import aider
from tests.clients.aider import Aider
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def client() -> Aider:
    try:
        return aider.install()
    except aider.NoPython as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", aider.CHECKS)
def test_aider(client: Aider, tmp_path: Path, name: str) -> None:
    with staged(tmp_path) as stage:
        print(aider.CHECKS[name](client, stage))

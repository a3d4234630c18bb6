"""The checks of ``codex`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import codex
from tests.clients.codex import Codex
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def client() -> Codex:
    return codex.install()


@pytest.mark.parametrize("name", codex.CHECKS)
def test_codex(client: Codex, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=codex.INI) as stage:
        print(codex.CHECKS[name](client, stage))

"""The checks of ``opencode`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import opencode
from tests.clients.opencode import OpenCode
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def client() -> OpenCode:
    return opencode.install()


@pytest.mark.parametrize("name", opencode.CHECKS)
def test_opencode(client: OpenCode, tmp_path: Path, name: str) -> None:
    with staged(tmp_path) as stage:
        print(opencode.CHECKS[name](client, stage))

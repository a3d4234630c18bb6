"""The checks of ``claude_code`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import claude_code
from tests.clients.claude_code import ClaudeCode
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def client() -> ClaudeCode:
    return claude_code.install()


@pytest.mark.parametrize("name", claude_code.CHECKS)
def test_claude_code(client: ClaudeCode, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=claude_code.INI) as stage:
        print(claude_code.CHECKS[name](client, stage))

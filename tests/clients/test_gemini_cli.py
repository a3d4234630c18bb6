"""The checks of ``gemini_cli`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import gemini_cli
from tests.clients.gemini_cli import GeminiCli
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def client() -> GeminiCli:
    return gemini_cli.install()


@pytest.mark.parametrize("name", gemini_cli.CHECKS)
def test_gemini_cli(client: GeminiCli, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=gemini_cli.INI) as stage:
        print(gemini_cli.CHECKS[name](client, stage))

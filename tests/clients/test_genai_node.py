"""The checks of ``genai_node`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import genai_node
from tests.clients.genai_node import Sdk
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return genai_node.install()


@pytest.mark.parametrize("name", genai_node.CHECKS)
def test_genai_node(sdk: Sdk, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=genai_node.INI) as stage:
        print(genai_node.CHECKS[name](sdk, stage))

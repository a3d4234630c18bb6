"""The checks of ``anthropic_node`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import anthropic_node
from tests.clients.anthropic_node import Sdk
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return anthropic_node.install()


@pytest.mark.parametrize("name", anthropic_node.CHECKS)
def test_anthropic_node(sdk: Sdk, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=anthropic_node.INI) as stage:
        print(anthropic_node.CHECKS[name](sdk, stage))

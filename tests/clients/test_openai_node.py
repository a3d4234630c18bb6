"""The checks of ``openai_node`` under pytest."""

import os
from pathlib import Path

import pytest

from tests.clients import openai_node
from tests.clients.openai_node import Sdk
from tests.clients.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")]


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return openai_node.install()


@pytest.mark.parametrize("name", openai_node.CHECKS)
def test_openai_node(sdk: Sdk, tmp_path: Path, name: str) -> None:
    with staged(tmp_path, ini=openai_node.INI) as stage:
        print(openai_node.CHECKS[name](sdk, stage))

"""Where Node is missing, it comes from PyPI, or the reason is told."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.clients import npm

pytestmark = pytest.mark.slow


def test_node_of_pypi_runs_npm() -> None:
    with tempfile.TemporaryDirectory(prefix="agproxy-npm-") as folder:  # not tmp_path, which stays for some time
        node = npm.node_of_pypi(Path(folder))
        told = subprocess.run([*node.npm, "--version"], env={"PATH": node.path}, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert int(told.stdout.partition(".")[0]) >= 10


def test_node_that_cannot_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(npm.CannotInstall, match=r"these tests need Node 20 or newer with npm \(Debian and Ubuntu: apt"):
        npm.node_of_pypi(tmp_path)

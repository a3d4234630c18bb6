"""What the SDKs for Node have in common: how their scripts are run, and answers that each of them is given."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.clients import npm, program
from tests.clients.stage import Stage
from tests.fake_google import Usage, calls, text, thoughts

TIMEOUT_S = 60.0
KEY = "agp-a-key-for-tests"
INI = f"[server]\nauth_mode = strict\napi_key = {KEY}\n"

HELLO = text("Hello, ", "wörld €", usage=Usage(prompt=100, candidates=20, thoughts=30, cached=40, tool_use=5))
COUNT = text("One, ", "two, ", "thrée", usage=Usage(prompt=7, candidates=3))
COLD = text("It is cold.")
TOOL_STEPS = (
    thoughts("Where?") + calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})),
    calls(("get_weather", {"city": "Bern"})),
    COLD,
)


def run(
    script: Path,
    *argv: str,
    packages: Path,
    stage: Stage,
    environment: Mapping[str, str],
    oldest_node: int = npm.OLDEST_NODE,
) -> str:
    """What a script says when its check has passed.

    :param packages: the folder of what it imports.
    :param environment: beside what every program gets.
    """
    copied = stage.folder / script.name
    shutil.copy(script, copied)
    modules = stage.folder / "node_modules"  # where Node looks for what it imports
    if not modules.exists():
        modules.symlink_to(packages / "node_modules")
    env = program.environment(stage.folder / "home", npm.node(oldest_node).path, **environment)
    command = ["node", copied.name, *argv]
    with program.started(command, cwd=stage.folder, env=env, outputs=stage.folder) as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert not finished.err, str(finished)  # warnings of the SDK or of Node
    stage.google.assert_no_refusals()
    assert not stage.google.pending, f"{stage.google.pending} answers were not asked for"
    return finished.out.strip()

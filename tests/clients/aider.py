"""Aider through agproxy, by its OpenAI and by its Anthropic models: it edits a file, and names the commit."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, npm, program
from tests.clients.stage import Stage
from tests.fake_google import text, thoughts

VERSION = "0.86.2"
PYTHONS = ("python3.12", "python3.11", "python3.10")  # it runs on no other (its package, "Requires-Python")
FOLDER = npm.CACHE.parent / "aider"
TIMEOUT_S = 120.0
GEMINI, SMALL = "gemini-flash-latest", "gemini-flash-lite-latest"
EDIT = 'It is two now.\n\na.py\n```\n<<<<<<< SEARCH\nprint("one")\n=======\nprint("two")\n>>>>>>> REPLACE\n```\n'


@dataclass(frozen=True, slots=True)
class Aider:
    """The installed program.

    :param python: of its environment.
    """

    python: Path

    def __str__(self) -> str:
        return f"Aider {VERSION}"


class NoPython(npm.CannotInstall):
    """There is no Python that it runs on."""


def install() -> Aider:
    """Aider in an environment of its own, installed when need be.

    :raises NoPython: only newer ones, or none, are here.
    :raises CannotInstall: with pip's own words.
    """
    return Aider(npm.installed(FOLDER, VERSION, _fill) / "bin" / "python")


def _fill(folder: Path) -> None:
    own = sys.executable if f"python3.{sys.version_info.minor}" in PYTHONS else None
    python = own or next((found for name in PYTHONS if (found := shutil.which(name))), None)
    if python is None:
        raise NoPython(f"Aider runs on {', '.join(PYTHONS)}, and none of these is here")
    npm.run([python, "-m", "venv", "--without-pip", str(folder)], env=dict(os.environ))
    argv = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-compile"]
    argv += ["--quiet", "--disable-pip-version-check", "--no-input", f"aider-chat=={VERSION}"]
    npm.run(argv, env=dict(os.environ))


# Running it.


def openai(stage: Stage) -> str:
    """The configuration, as the README has it."""
    return f"""\
openai-api-base: {stage.base_url}
openai-api-key: unused
model: openai/{GEMINI}
weak-model: openai/{SMALL}
edit-format: diff
show-model-warnings: false
"""


def anthropic(stage: Stage) -> str:
    """The same by the Anthropic route."""
    return f"""\
set-env:
  - ANTHROPIC_API_BASE={stage.root_url}
anthropic-api-key: unused
model: anthropic/{GEMINI}
weak-model: anthropic/{SMALL}
edit-format: diff
show-model-warnings: false
"""


def edits(client: Aider, stage: Stage, config: Callable[[Stage], str]) -> str:
    """It edits a file as the model says, and commits it with words of the small model."""
    home, work = stage.folder / "home", stage.folder / "work"
    for folder in (home, work):
        folder.mkdir()
    (home / ".aider.conf.yml").write_text(config(stage))
    (home / ".gitconfig").write_text("[user]\nname = Somebody\nemail = somebody@example.com\n")
    (work / "a.py").write_text('print("one")\n')
    env = program.environment(home, os.environ["PATH"])
    for command in (["init", "--quiet"], ["add", "a.py"], ["commit", "--quiet", "-m", "begin"]):
        subprocess.run(["git", *command], cwd=work, env=env, check=True)
    stage.google.enqueue(thoughts("Hm.") + text(EDIT[:30], EDIT[30:]), model=GEMINI)
    stage.google.enqueue(text("feat: print two"), model=SMALL)
    argv = [str(client.python), "-m", "aider", "--yes-always", "--no-check-update", "--no-analytics"]
    argv += ["--message", "Let it print two.", "a.py"]
    with program.started(argv, cwd=work, env=env, outputs=stage.folder) as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert "It is two now." in finished.out, str(finished)
    assert (work / "a.py").read_text() == 'print("two")\n', str(finished)
    log = subprocess.run(["git", "log", "-1", "--format=%s"], cwd=work, env=env, capture_output=True, text=True)
    assert log.stdout.strip() == "feat: print two", str(finished)
    stage.google.assert_no_refusals()
    assert not stage.google.pending
    main = next(request for request in stage.google.requests if request.model == GEMINI)
    assert "Let it print two." in main.text
    return f"{len(stage.google.requests)} requests; {finished.seconds:.1f} s"


def by_openai(client: Aider, stage: Stage) -> str:
    """By Chat Completions."""
    words = edits(client, stage, openai)
    assert [each.status for each in stage.requests("/v1/chat/completions")] == [200, 200]
    return words


def by_anthropic(client: Aider, stage: Stage) -> str:
    """By Anthropic Messages."""
    words = edits(client, stage, anthropic)
    assert [each.status for each in stage.requests("/v1/messages")] == [200, 200]
    return words


CHECKS: dict[str, checks.Check[Aider]] = {check.__name__: check for check in (by_openai, by_anthropic)}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.aider", __doc__, install=install, checks=CHECKS))

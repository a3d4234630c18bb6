"""OpenCode through agproxy, by three of its providers: its tools, and a conversation that goes on.

The providers are within the program: it needs nothing from the Internet (seen with 1.18). Beside each conversation it
asks the small model for a title.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import checks, npm, program
from tests.clients.program import Finished, Program
from tests.clients.stage import Stage
from tests.e2e.test_chat import png
from tests.fake_google import calls, text, thoughts

PACKAGE = "opencode-ai"
TIMEOUT_S = 90.0
GEMINI = "gemini-3-flash-preview"
SMALL = "gemini-flash-lite-latest"
ANSWER = "The first is said."
DONE = "It is done."


@dataclass(frozen=True, slots=True)
class OpenCode:
    """The installed program."""

    command: str
    version: str

    def __str__(self) -> str:
        return f"OpenCode {self.version}"


@dataclass(frozen=True, slots=True)
class Provider:
    """One of the ways in which OpenCode speaks.

    :param package: by its name in the configuration.
    :param version: what its Base URL ends in.
    :param paths: that it asks at.
    """

    package: str
    version: str
    paths: tuple[str, ...]


PROVIDERS = {
    "openai": Provider("@ai-sdk/openai-compatible", "v1", ("/v1/chat/completions",)),
    "anthropic": Provider("@ai-sdk/anthropic", "v1", ("/v1/messages",)),
    "google": Provider(
        "@ai-sdk/google", "v1beta", tuple(f"/v1beta/models/{model}:streamGenerateContent" for model in (GEMINI, SMALL))
    ),
}


def install() -> OpenCode:
    """OpenCode, installed when need be."""
    packages = npm.install("opencode", f"{PACKAGE}@1.18", postinstall=PACKAGE)
    return OpenCode(packages.command("opencode"), packages.version(PACKAGE))


# Running it.


def configuration(stage: Stage, provider: Provider) -> dict[str, Any]:
    """What the README tells users to write."""
    image = {"modalities": {"input": ["text", "image"], "output": ["text"]}}
    return {
        "$schema": "https://opencode.ai/config.json",
        "model": f"agproxy/{GEMINI}",
        "small_model": f"agproxy/{SMALL}",
        "provider": {
            "agproxy": {
                "npm": provider.package,
                "options": {"baseURL": f"{stage.root_url}/{provider.version}", "apiKey": "unused"},
                "models": {GEMINI: {"limit": {"context": 1048576, "output": 65536}, **image}, SMALL: {}},
            }
        },
    }


def work_folder(stage: Stage) -> Path:
    """Where OpenCode works."""
    folder = stage.folder / "work"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def opencode(client: OpenCode, stage: Stage, provider: Provider, words: str, *options: str) -> Iterator[Program]:
    """OpenCode at work on one prompt."""
    home = stage.folder / "home"
    config = home / ".config" / "opencode"
    config.mkdir(parents=True, exist_ok=True)
    (config / "opencode.json").write_text(json.dumps(configuration(stage, provider)))
    env = program.environment(home, npm.node().path)
    stage.google.enqueue(text("A title"), model=SMALL)
    argv = [client.command, "run", *options, words]
    with program.started(argv, cwd=work_folder(stage), env=env, outputs=stage.folder) as running:
        yield running


def assert_says(running: Program, words: str) -> Finished:
    """It comes to an end, and prints the model's last answer and nothing else."""
    finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert finished.out.strip() == words, str(finished)
    return finished


def assert_asked_by(stage: Stage, provider: Provider) -> None:
    """All of its requests came in the way of the provider, and each was answered."""
    made = [(each.method, each.status) for path in provider.paths for each in stage.requests(path)]
    assert len(made) == len(stage.google.requests)
    assert set(made) == {("POST", 200)}


# What is checked.


def tools(client: OpenCode, stage: Stage, provider: Provider) -> str:
    """It makes a file with its own tool, and tells the model what its other tools say, as text and as a picture."""
    work = work_folder(stage)
    (work / "dot.png").write_bytes(base64.b64decode(png().partition(",")[2]))
    made = str(work / "made.txt")
    stage.google.enqueue(
        thoughts("A file first.") + calls(("write", {"filePath": made, "content": "wörds\n"})),
        calls(("edit", {"filePath": made, "oldString": "wörds", "newString": "wörds  "})),
        calls(
            ("bash", {"command": f"cd {work} && echo well done", "description": "Says it"}),
            ("read", {"filePath": str(work / "dot.png")}),
            ("read", {"filePath": str(work / "missing.txt")}),
        ),
        text(DONE),
        model=GEMINI,
    )
    with opencode(client, stage, provider, "Make a file.") as running:
        finished = assert_says(running, DONE)
    assert Path(made).read_text() == "wörds  \n", str(finished)
    stage.assert_signed(3)
    assert_asked_by(stage, provider)
    contents = stage.google.requests[-1].contents
    parts = [part for content in contents for part in content["parts"]]
    told = [part["function_response"]["response"] for part in parts if "function_response" in part]
    assert [len(told), "well done" in json.dumps(told[2]), "not found" in json.dumps(told[4])] == [5, True, True]
    assert png().partition(",")[2] in json.dumps(contents)
    return f"a file by write, an image, {told}"


def goes_on(client: OpenCode, stage: Stage, provider: Provider) -> str:
    """A conversation with a call goes on in another process, after a restart of agproxy."""
    say = {"command": "echo first", "description": "Says it"}
    stage.google.enqueue(calls(("bash", say)), text(ANSWER, sign=True), model=GEMINI)
    with opencode(client, stage, provider, "Begin.") as running:
        assert_says(running, ANSWER)
    stage.restart()
    stage.google.enqueue(text(DONE), model=GEMINI)
    with opencode(client, stage, provider, "Go on.", "--continue") as running:
        assert_says(running, DONE)
    stage.assert_signed(1)
    return f"{len(stage.google.requests[-1].contents)} contents in the last"


def _check(check: Callable[[OpenCode, Stage, Provider], str], provider: Provider) -> checks.Check[OpenCode]:
    def checked(client: OpenCode, stage: Stage) -> str:
        return check(client, stage, provider)

    return checked


CHECKS: dict[str, checks.Check[OpenCode]] = {
    f"{check.__name__}_{name}": _check(check, provider)
    for check in (tools, goes_on)
    for name, provider in PROVIDERS.items()
    if check is not goes_on or name == "anthropic"
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.opencode", __doc__, install=install, checks=CHECKS))

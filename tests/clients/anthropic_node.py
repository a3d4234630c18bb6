"""Anthropic's SDK for Node through agproxy: messages, streams, tools, structured output, models, its classes of errors.

``anthropic_node.mjs`` is the program that uses it, and asserts what it sees; here is what Google answers, and what must
have reached it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, node_sdk, npm
from tests.clients.node_sdk import COUNT, HELLO, KEY, TOOL_STEPS
from tests.clients.stage import Stage
from tests.fake_google import cut, quota_per_day, slow, text, thoughts

PACKAGE = "@anthropic-ai/sdk"
SCRIPT = Path(__file__).with_suffix(".mjs")
INI = node_sdk.INI

OSLO = text('{"name": "Oslo", ', '"people": null}')


@dataclass(frozen=True, slots=True)
class Sdk:
    """The installed SDK."""

    folder: Path
    version: str

    def __str__(self) -> str:
        return f"{PACKAGE} {self.version}"


def install() -> Sdk:
    """The SDK, installed when need be."""
    packages = npm.install("anthropic", f"{PACKAGE}@1.12", "zod@4")
    return Sdk(packages.folder, packages.version(PACKAGE))


def run(sdk: Sdk, stage: Stage, name: str) -> str:
    """What the script says when its check has passed."""
    address = {"ANTHROPIC_BASE_URL": stage.root_url, "ANTHROPIC_API_KEY": KEY}
    return node_sdk.run(SCRIPT, name, packages=sdk.folder, stage=stage, environment=address)


def create(sdk: Sdk, stage: Stage) -> str:
    """One message, and the count of its tokens."""
    stage.google.enqueue(HELLO)
    words = run(sdk, stage, "create")
    assert stage.google.requests[0].body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert [request.method for request in stage.google.requests] == ["generateContent", "countTokens"]
    return words


def stream(sdk: Sdk, stage: Stage) -> str:
    """The SDK puts a message together from its events, thoughts included."""
    stage.google.enqueue(thoughts("I count.") + COUNT, COUNT)
    return run(sdk, stage, "stream")


def tools(sdk: Sdk, stage: Stage) -> str:
    """A loop by hand, streamed and not."""
    stage.google.enqueue(*TOOL_STEPS)
    words = run(sdk, stage, "tools")
    stage.assert_signed(2)
    return words


def tool_runner(sdk: Sdk, stage: Stage) -> str:
    """The SDK's own loop, whole and streamed."""
    stage.google.enqueue(*TOOL_STEPS, *TOOL_STEPS)
    words = run(sdk, stage, "tool_runner")
    stage.assert_signed(2)
    assert len(stage.google.requests) == 6
    return words


def parse(sdk: Sdk, stage: Stage) -> str:
    """Structured output by a zod schema."""
    stage.google.enqueue(OSLO, OSLO)
    words = run(sdk, stage, "parse")
    for request in stage.google.requests:
        config = request.body["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        assert set(config["responseJsonSchema"]["properties"]) == {"name", "people"}
    return words


def models(sdk: Sdk, stage: Stage) -> str:
    """The list of models, page by page, and one of them."""
    return run(sdk, stage, "models")


def errors(sdk: Sdk, stage: Stage) -> str:
    """Each error is of the class that a program catches; a quota that is gone for the day is asked for once."""
    stage.google.enqueue(quota_per_day(model="gemini-flash-latest"))
    words = run(sdk, stage, "errors")
    assert [request.method for request in stage.google.requests if "enerate" in request.method] == ["generateContent"]
    return words


def broken_streams(sdk: Sdk, stage: Stage) -> str:
    """Google's stream breaks off after the first words, which have been told."""
    stage.google.enqueue(*[cut(COUNT, after_events=1)] * 2)
    return run(sdk, stage, "broken_streams")


def abort(sdk: Sdk, stage: Stage) -> str:
    """A client that goes takes the request to Google with it."""
    stage.google.enqueue(slow(text(*["word "] * 100), between_s=0.3))
    words = run(sdk, stage, "abort")
    stage.google.wait_until(lambda: stage.google.requests[0].client_closed_at is not None)
    return words


CHECKS: dict[str, Callable[[Sdk, Stage], str]] = {
    check.__name__: check
    for check in (create, stream, tools, tool_runner, parse, models, errors, broken_streams, abort)
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.anthropic_node", __doc__, install=install, checks=CHECKS, ini=INI))

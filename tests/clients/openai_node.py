"""OpenAI's SDK for Node through agproxy: Responses, Chat Completions, Completions, models, and its classes of errors.

``openai_node.mjs`` is the program that uses it, and asserts what it sees; here is what Google answers, and what must
have reached it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, node_sdk, npm
from tests.clients.node_sdk import COLD, COUNT, HELLO, KEY, TOOL_STEPS
from tests.clients.stage import Stage
from tests.fake_google import calls, cut, quota_per_day, slow, text, thoughts

PACKAGES = ("openai@6", "zod@4")
SCRIPT = Path(__file__).with_suffix(".mjs")
INI = node_sdk.INI

OSLO = text('{"city": "Oslo", "degrees": -5, ', '"sky": "grey"}')


@dataclass(frozen=True, slots=True)
class Sdk:
    """The installed SDK."""

    folder: Path
    version: str

    def __str__(self) -> str:
        return f"openai {self.version} for Node"


def install() -> Sdk:
    """The SDK, installed when need be."""
    packages = npm.install("openai", *PACKAGES)
    return Sdk(packages.folder, packages.version("openai"))


def run(sdk: Sdk, stage: Stage, name: str) -> str:
    """What the script says when its check has passed."""
    address = {"OPENAI_BASE_URL": stage.base_url, "OPENAI_API_KEY": KEY}
    return node_sdk.run(SCRIPT, name, packages=sdk.folder, stage=stage, environment=address)


def responses_create(sdk: Sdk, stage: Stage) -> str:
    """One response, and the count of its tokens."""
    stage.google.enqueue(HELLO)
    words = run(sdk, stage, "responses_create")
    request = stage.google.requests[0].body
    assert request["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert request["generationConfig"]["temperature"] == 0.5
    assert [request.method for request in stage.google.requests] == ["generateContent", "countTokens"]
    return words


def responses_stream(sdk: Sdk, stage: Stage) -> str:
    """The SDK puts a response together from its events, thoughts included."""
    stage.google.enqueue(thoughts("I count.") + COUNT, COUNT)
    return run(sdk, stage, "responses_stream")


def responses_tools(sdk: Sdk, stage: Stage) -> str:
    """A loop whose history is the client's."""
    stage.google.enqueue(*TOOL_STEPS)
    words = run(sdk, stage, "responses_tools")
    stage.assert_signed(2)
    return words


def responses_stored_tools(sdk: Sdk, stage: Stage) -> str:
    """A loop whose history is stored, with a function and a custom tool."""
    stage.google.enqueue(calls(("get_weather", {"city": "Oslo"})), calls(("run", {"input": 'print("hé")\n'})), COLD)
    words = run(sdk, stage, "responses_stored_tools")
    stage.assert_signed(2)
    results = [part for content in stage.google.requests[-1].contents for part in content["parts"]]
    told = [part["function_response"]["response"] for part in results if "function_response" in part]
    assert ["5 degrees" in json.dumps(told[0]), "hé" in json.dumps(told[1], ensure_ascii=False)] == [True, True]
    return words


def responses_parse(sdk: Sdk, stage: Stage) -> str:
    """Structured output by a zod schema."""
    stage.google.enqueue(OSLO, OSLO)
    words = run(sdk, stage, "responses_parse")
    assert_asked_for_json(stage)
    return words


def assert_asked_for_json(stage: Stage) -> None:
    """Each request told Google the schema."""
    for request in stage.google.requests:
        config = request.body["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        assert set(config["responseJsonSchema"]["properties"]) == {"city", "degrees", "sky"}


def responses_chain(sdk: Sdk, stage: Stage) -> str:
    """Three turns by ``previous_response_id``; instructions are those of the last one alone."""
    stage.google.enqueue(text("First"), text("Second"), text("Third"))
    words = run(sdk, stage, "responses_chain")
    last = stage.google.requests[-1]
    told = ["".join(part.get("text", "") for part in content["parts"]) for content in last.contents]
    assert told == ["One", "First", "Two", "Second", "Three"]
    assert last.body["systemInstruction"] == {"parts": [{"text": "Count after Three."}]}
    return words


def responses_stored(sdk: Sdk, stage: Stage) -> str:
    """A response is found again, its input in pages, until it is deleted."""
    stage.google.enqueue(HELLO, HELLO)
    return run(sdk, stage, "responses_stored")


def chat(sdk: Sdk, stage: Stage) -> str:
    """Chat Completions, whole, streamed, and by the SDK's own accumulator."""
    stage.google.enqueue(HELLO, COUNT, COUNT)
    return run(sdk, stage, "chat")


def chat_tools(sdk: Sdk, stage: Stage) -> str:
    """The SDK's own tool loop, whole and streamed."""
    stage.google.enqueue(*TOOL_STEPS, *TOOL_STEPS)
    words = run(sdk, stage, "chat_tools")
    stage.assert_signed(2)
    return words


def chat_parse(sdk: Sdk, stage: Stage) -> str:
    """Structured output by a zod schema."""
    stage.google.enqueue(OSLO, OSLO)
    words = run(sdk, stage, "chat_parse")
    assert_asked_for_json(stage)
    return words


def completions(sdk: Sdk, stage: Stage) -> str:
    """The older Completions, whole and streamed."""
    stage.google.enqueue(HELLO, COUNT)
    return run(sdk, stage, "completions")


def models(sdk: Sdk, stage: Stage) -> str:
    """The list of models, and one of them."""
    return run(sdk, stage, "models")


def errors(sdk: Sdk, stage: Stage) -> str:
    """Each error is of the class that a program catches, with status, code and id."""
    stage.google.enqueue(quota_per_day())
    words = run(sdk, stage, "errors")
    asked = [request.model for request in stage.google.requests if request.method == "generateContent"]
    assert asked == ["gemini-2.5-flash"]
    return words


def broken_streams(sdk: Sdk, stage: Stage) -> str:
    """Google's stream breaks off after the first words, which have been told."""
    stage.google.enqueue(*[cut(COUNT, after_events=1)] * 4)
    return run(sdk, stage, "broken_streams")


def abort(sdk: Sdk, stage: Stage) -> str:
    """A client that goes takes the request to Google with it."""
    stage.google.enqueue(slow(text(*["word "] * 100), between_s=0.3))
    words = run(sdk, stage, "abort")
    stage.google.wait_until(lambda: stage.google.requests[0].client_closed_at is not None)
    return words


CHECKS: dict[str, Callable[[Sdk, Stage], str]] = {
    check.__name__: check
    for check in (
        *(responses_create, responses_stream, responses_tools, responses_stored_tools, responses_parse),
        *(responses_chain, responses_stored, chat, chat_tools, chat_parse, completions, models),
        *(errors, broken_streams, abort),
    )
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.openai_node", __doc__, install=install, checks=CHECKS, ini=INI))

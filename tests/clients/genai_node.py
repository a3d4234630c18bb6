"""Google's own SDK for Node, @google/genai, through agproxy; two major versions, of which the older asks for v1beta.

``genai_node.mjs`` is the program that uses it, and asserts what it sees; here is what Google answers, and what must
have reached it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, node_sdk, npm
from tests.clients.node_sdk import COUNT, HELLO, KEY, TOOL_STEPS
from tests.clients.stage import Stage
from tests.e2e.test_chat import png
from tests.fake_google import cut, quota_per_day, slow, text, thoughts

NEWEST, OLDER = "@google/genai", "genai-2"
PACKAGES = (f"{NEWEST}@3", f"{OLDER}@npm:{NEWEST}@2", "zod@4")
NODE = 22  # what version 3 asks for
SCRIPT = Path(__file__).with_suffix(".mjs")
INI = f"{node_sdk.INI}[upstream]\nping_s = 0.4\n"

OSLO = text('{"city": "Oslo", "degrees": -5, ', '"sky": "grey"}')


@dataclass(frozen=True, slots=True)
class Sdk:
    """The installed SDK, in both versions."""

    folder: Path
    versions: tuple[str, str]

    def __str__(self) -> str:
        return f"@google/genai {' and '.join(self.versions)} for Node"


def install() -> Sdk:
    """The SDK, installed when need be."""
    packages = npm.install("genai", *PACKAGES)
    return Sdk(packages.folder, (packages.version(NEWEST), packages.version(OLDER)))


def run(sdk: Sdk, stage: Stage, name: str, *, package: str = NEWEST) -> str:
    """What the script says when its check has passed."""
    stage.google.native = True  # Google takes what its own SDK declares
    address = {"GOOGLE_GEMINI_BASE_URL": stage.root_url, "GEMINI_API_KEY": KEY, "PICTURE": png().partition(",")[2]}
    return node_sdk.run(SCRIPT, name, package, packages=sdk.folder, stage=stage, environment=address, oldest_node=NODE)


def generate(sdk: Sdk, stage: Stage) -> str:
    """One answer, with everything that is told of it."""
    stage.google.enqueue(thoughts("I greet.") + HELLO)
    words = run(sdk, stage, "generate")
    (request,) = stage.google.requests
    assert request.canonical["system_instruction"]["parts"] == [{"text": "Be brief."}]
    config = request.canonical["generation_config"]
    assert config == {"temperature": 0.5, "thinking_config": {"include_thoughts": True, "thinking_level": "LOW"}}
    assert [access.status for access in stage.requests("/v1/models/gemini-3-flash-preview:generateContent")] == [200]
    return words


def stream(sdk: Sdk, stage: Stage) -> str:
    """A streamed answer."""
    stage.google.enqueue(thoughts("I count.") + COUNT)
    return run(sdk, stage, "stream")


def versions(sdk: Sdk, stage: Stage) -> str:
    """An address that the program gives, with either version of the API."""
    stage.google.enqueue(HELLO, HELLO)
    words = run(sdk, stage, "versions")
    made = [len(stage.requests(f"/{version}/models/gemini-2.5-flash:generateContent")) for version in ("v1", "v1beta")]
    assert made == [1, 1]
    return words


def mapped(sdk: Sdk, stage: Stage) -> str:
    """A name of another vendor, alone and behind the prefixes that the SDK knows."""
    words = run(sdk, stage, "mapped")
    assert [request.model for request in stage.google.requests] == ["gemini-flash-latest"] * 3
    return words


def chat(sdk: Sdk, stage: Stage) -> str:
    """Three turns, whose history the SDK keeps."""
    stage.google.enqueue(thoughts("Hm.") + text("First", sign=True), text("Second", sign=True), text("Third"))
    words = run(sdk, stage, "chat")
    assert_returned(stage, 2)
    return words


def assert_returned(stage: Stage, count: int) -> None:
    """So many signatures came back in the last request, and each is one of the fake's own."""
    parts = [part for content in stage.google.requests[-1].contents for part in content["parts"]]
    found = [part["thought_signature"] for part in parts if "thought_signature" in part]
    assert len(found) == count
    assert all(stage.google.ledger.find(signature) for signature in found)


def tools(sdk: Sdk, stage: Stage) -> str:
    """A tool loop of the program's own, whole and streamed."""
    stage.google.enqueue(*TOOL_STEPS)
    words = run(sdk, stage, "tools")
    stage.assert_signed(2)
    return words


def automatic_tools(sdk: Sdk, stage: Stage) -> str:
    """The SDK's own tool loop."""
    stage.google.enqueue(*TOOL_STEPS)
    words = run(sdk, stage, "automatic_tools")
    stage.assert_signed(2)
    return words


def files(sdk: Sdk, stage: Stage) -> str:
    """A picture and a document, inline."""
    stage.google.enqueue(HELLO)
    words = run(sdk, stage, "files")
    parts = [part for content in stage.google.requests[0].contents for part in content["parts"]]
    types = [part["inline_data"]["mime_type"] for part in parts if "inline_data" in part]
    assert types == ["image/png", "application/pdf"]
    return words


def parse(sdk: Sdk, stage: Stage) -> str:
    """Structured output by Google's kind of schema, and by JSON Schema."""
    stage.google.enqueue(OSLO, OSLO)
    words = run(sdk, stage, "parse")
    asked = [set(request.canonical["generation_config"]) for request in stage.google.requests]
    assert ["response_schema" in asked[0], "response_json_schema" in asked[1]] == [True, True]
    return words


def count(sdk: Sdk, stage: Stage) -> str:
    """Tokens are counted by Google."""
    words = run(sdk, stage, "count")
    assert [request.method for request in stage.google.requests] == ["countTokens"]
    return words


def embed(sdk: Sdk, stage: Stage) -> str:
    """Two embeddings at once."""
    return run(sdk, stage, "embed")


def models(sdk: Sdk, stage: Stage) -> str:
    """The list of models, and one of them."""
    return run(sdk, stage, "models")


def errors(sdk: Sdk, stage: Stage) -> str:
    """Errors of agproxy have Google's shape, and those of Google their details."""
    stage.google.enqueue(quota_per_day())
    words = run(sdk, stage, "errors")
    assert [request.model for request in stage.google.requests if request.verb == "POST"] == ["gemini-2.5-flash"]
    return words


def broken_stream(sdk: Sdk, stage: Stage) -> str:
    """Google's stream breaks off after the first words, which have been told."""
    stage.google.enqueue(cut(COUNT, after_events=1))
    return run(sdk, stage, "broken_stream")


def silence(sdk: Sdk, stage: Stage) -> str:
    """Several keep-alives before the first event, and between two, are not seen."""
    stage.google.enqueue(slow(COUNT, headers_s=1.4, between_s=1.0))
    return run(sdk, stage, "silence")


def abort(sdk: Sdk, stage: Stage) -> str:
    """A client that goes takes the request to Google with it."""
    stage.google.enqueue(slow(text(*["word "] * 100), between_s=0.3))
    words = run(sdk, stage, "abort")
    stage.google.wait_until(lambda: stage.google.requests[0].client_closed_at is not None)
    return words


def older_version(sdk: Sdk, stage: Stage) -> str:
    """Version 2, which runs on older Nodes, asks for v1beta."""
    words = []
    for name, answers in (("stream", [thoughts("I count.") + COUNT]), ("tools", [*TOOL_STEPS]), ("models", [])):
        stage.google.enqueue(*answers)
        words.append(run(sdk, stage, name, package=OLDER))
    assert len(stage.requests("/v1beta/models/gemini-3-flash-preview:generateContent")) == 2
    assert len(stage.requests("/v1beta/models")) == 1
    return "; ".join(words)


CHECKS: dict[str, Callable[[Sdk, Stage], str]] = {
    check.__name__: check
    for check in (
        *(generate, stream, versions, mapped, chat, tools, automatic_tools, files, parse, count, embed, models),
        *(errors, broken_stream, silence, abort, older_version),
    )
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.genai_node", __doc__, install=install, checks=CHECKS, ini=INI))

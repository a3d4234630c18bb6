"""Google's Gemini CLI through agproxy: answers, its tools, the models it chooses, silence, breaks, and no quota left.

Without ``-m`` it asks a small model which of two larger ones is to answer (seen with 0.61). It returns a signature on
the call that came with it, and puts the documented dummy on calls that came without: that one is its own. A stream
that ends in an error it asks for again.
"""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, npm, program
from tests.clients.program import Finished, Program, TookTooLong
from tests.clients.stage import Stage
from tests.e2e.test_chat import png
from tests.fake_google import api_key_invalid, calls, cut, grounded, quota_per_day, slow, text, thoughts

PACKAGE = "@google/gemini-cli@0.61"  # below 1.0 the minor versions are the major ones
TIMEOUT_S = 60.0
FIRST_TRY_S = 6.0
KEY = "agp-a-key-for-tests"
INI = f"[server]\nauth_mode = strict\napi_key = {KEY}\n[upstream]\nping_s = 0.4\n"
GEMINI = "gemini-3-flash-preview"
ROUTER, CHOSEN = "gemini-3.5-flash-lite", "gemini-3.8-flash"
SIMPLE = text('{"complexity_reasoning": "It is simple.", "complexity_score": 10}')
QUESTION = "What is the answer?"
ANSWER = "The answer is forty-two."
DONE = "The file is there."


@dataclass(frozen=True, slots=True)
class GeminiCli:
    """The installed program."""

    command: str
    version: str

    def __str__(self) -> str:
        return f"Gemini CLI {self.version}"


def install() -> GeminiCli:
    """Gemini CLI, installed when need be."""
    packages = npm.install("gemini-cli", PACKAGE)
    return GeminiCli(packages.command("gemini"), packages.version("@google/gemini-cli"))


# Running it.


def work_folder(stage: Stage) -> Path:
    """Where Gemini CLI works."""
    folder = stage.folder / "work"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def gemini(
    client: GeminiCli, stage: Stage, words: str, *, model: str | None = GEMINI, version: str = ""
) -> Iterator[Program]:
    """Gemini CLI at work on one prompt, with the settings that the README has.

    :param model: None leaves it to Gemini CLI.
    :param version: what the address ends in by mistake.
    """
    home = stage.folder / "home"
    settings = home / ".gemini" / "settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))
    env = program.environment(
        home,
        npm.node().path,
        GOOGLE_GEMINI_BASE_URL=stage.root_url + version,
        GEMINI_API_KEY=KEY,
        GEMINI_CLI_TRUST_WORKSPACE="true",  # it asks for each folder else
    )
    argv = [client.command, "-y", *(["-m", model] if model else []), "-p", words]
    stage.google.native = True  # Google takes what its own client declares
    with program.started(argv, cwd=work_folder(stage), env=env, outputs=stage.folder) as running:
        yield running


def ask(client: GeminiCli, stage: Stage, words: str, *, model: str | None = GEMINI, version: str = "") -> Finished:
    """Let it come to its end."""
    with gemini(client, stage, words, model=model, version=version) as running:
        return running.wait(TIMEOUT_S)


def assert_says(finished: Finished, words: str) -> None:
    """It has printed the model's last answer and nothing else."""
    assert finished.code == 0, str(finished)
    assert finished.out.strip() == words, str(finished)


def assert_made(stage: Stage, name: str, content: str, finished: Finished) -> None:
    """The tool has really run."""
    path = work_folder(stage) / name
    assert path.exists(), f"{name} was not made: {finished}"
    assert path.read_text() == content, f"{name}: {path.read_text()!r}"


def asked_models(stage: Stage) -> list[str]:
    """The model and method of each request that reached Google."""
    return [f"{request.model}:{request.method}" for request in stage.google.requests]


def answered(stage: Stage, model: str) -> list[int]:
    """The status of each streamed answer of agproxy to Gemini CLI, oldest first."""
    return [request.status for request in stage.requests(f"/v1beta/models/{model}:streamGenerateContent")]


# What is checked.


def answers(client: GeminiCli, stage: Stage) -> str:
    """A question is answered, and the answer is all that is printed."""
    stage.google.enqueue(thoughts("Six times seven.") + text("The answer is ", "forty-two."))
    assert_says(ask(client, stage, QUESTION), ANSWER)
    stage.google.assert_no_refusals()
    (request,) = stage.google.requests
    assert request.last_user_text.endswith(QUESTION)
    return f"{ANSWER!r}; it offered {', '.join(request.tool_names)}"


def write_file(client: GeminiCli, stage: Stage) -> str:
    """It makes a file with its own tool, and returns the signature of the call."""
    wanted = calls(("write_file", {"file_path": "made.txt", "content": "wörds\n"}), tail=True)
    stage.google.enqueue(thoughts("I need a file.") + wanted, text(DONE))
    finished = ask(client, stage, "Make a file.")
    assert_says(finished, DONE)
    assert_made(stage, "made.txt", "wörds\n", finished)
    stage.assert_signed(1)
    return f"a file by {stage.google.requests[-1].results[0]['name']}"


def shell(client: GeminiCli, stage: Stage) -> str:
    """It runs a command, and tells the model what came of it."""
    command = "echo made > made.txt && echo well done"
    stage.google.enqueue(calls(("run_shell_command", {"command": command, "description": "Makes a file"})), text(DONE))
    finished = ask(client, stage, "Make a file.")
    assert_says(finished, DONE)
    assert_made(stage, "made.txt", "made\n", finished)
    stage.assert_signed(1)
    (result,) = stage.google.requests[-1].results
    assert "well done" in json.dumps(result)
    return f"a file by {result['name']}"


def several_calls(client: GeminiCli, stage: Stage) -> str:
    """Two calls in one step and another one after it; each step's signature comes back."""
    both = calls(
        ("write_file", {"file_path": "first.txt", "content": "first\n"}),
        ("run_shell_command", {"command": "echo second > second.txt", "description": "Makes a file"}),
    )
    stage.google.enqueue(both, calls(("read_file", {"file_path": "first.txt"})), text(DONE))
    finished = ask(client, stage, "Make two files.")
    assert_says(finished, DONE)
    for name in ("first", "second"):
        assert_made(stage, f"{name}.txt", f"{name}\n", finished)
    stage.assert_signed(2)
    told = [len(request.results) for request in stage.google.requests]
    assert told == [0, 2, 1]
    return f"results of each step: {told[1:]}"


def image(client: GeminiCli, stage: Stage) -> str:
    """A picture that the prompt names is sent, and counted before."""
    (work_folder(stage) / "dot.png").write_bytes(base64.b64decode(png().partition(",")[2]))
    stage.google.enqueue(text("A dot."))
    assert_says(ask(client, stage, "What is on @dot.png ?"), "A dot.")
    stage.google.assert_no_refusals()
    assert asked_models(stage) == [f"{GEMINI}:countTokens", f"{GEMINI}:streamGenerateContent"]
    for request in stage.google.requests:
        parts = [part for content in request.contents for part in content["parts"]]
        assert [part["inline_data"]["mime_type"] for part in parts if "inline_data" in part] == ["image/png"]
    return "counted, and asked about"


def web_search(client: GeminiCli, stage: Stage) -> str:
    """Its search is another request, with Google's own tool; the sources reach it."""
    found = grounded("It is [[cold|0]].", pages=("https://example.com/oslo",))
    stage.google.enqueue(calls(("google_web_search", {"query": "weather in Oslo"})), found, text("It is cold."))
    assert_says(ask(client, stage, "How cold is it?"), "It is cold.")
    stage.assert_signed(1)
    assert stage.google.requests[1].canonical["tools"] == [{"google_search": {}}]
    (result,) = stage.google.requests[-1].results
    assert "https://example.com/oslo" in json.dumps(result)
    return ", ".join(asked_models(stage))


def default_model(client: GeminiCli, stage: Stage) -> str:
    """Left to itself it asks a small model first, and a larger one then makes a file."""
    stage.google.enqueue(SIMPLE, model=ROUTER)
    stage.google.enqueue(calls(("write_file", {"file_path": "made.txt", "content": "made\n"})), text(DONE))
    finished = ask(client, stage, "Make a file.", model=None)
    assert_says(finished, DONE)
    assert_made(stage, "made.txt", "made\n", finished)
    stage.assert_signed(1)
    assert asked_models(stage) == [f"{ROUTER}:generateContent", *[f"{CHOSEN}:streamGenerateContent"] * 2]
    return ", ".join(asked_models(stage))


def older_model(client: GeminiCli, stage: Stage) -> str:
    """Gemini 2.5 gives its calls neither id nor signature; what Gemini CLI makes up for them is handed on as it is."""
    stage.google.ledger.strict_dummies = False  # the dummies are of Gemini CLI
    stage.google.enqueue(calls(("write_file", {"file_path": "made.txt", "content": "made\n"})), text(DONE))
    finished = ask(client, stage, "Make a file.", model="gemini-2.5-flash")
    assert_says(finished, DONE)
    assert_made(stage, "made.txt", "made\n", finished)
    stage.google.assert_no_refusals()
    first, last = stage.google.requests
    assert first.canonical["generation_config"]["thinking_config"]["thinking_budget"] > 0
    (call,) = [
        part["function_call"] for content in last.contents for part in content["parts"] if "function_call" in part
    ]
    assert call["id"] == last.results[0]["id"]
    return f"call {call['id']}, {len(last.dummies)} dummy"


def mapped_model(client: GeminiCli, stage: Stage) -> str:
    """Rules of the INI send the models that it chooses by itself to others, of an older family."""
    lite, older = "gemini-2.5-flash-lite", "gemini-2.5-flash"
    stage.ini = f"[models]\n{ROUTER} = {lite}\n{CHOSEN} = {older}\n{stage.ini}"
    stage.restart()
    stage.google.enqueue(SIMPLE, model=lite)
    stage.google.enqueue(text(ANSWER), model=older)
    assert_says(ask(client, stage, QUESTION, model=None), ANSWER)
    stage.google.assert_no_refusals()
    assert answered(stage, CHOSEN) == [200]
    assert asked_models(stage) == [f"{lite}:generateContent", f"{older}:streamGenerateContent"]
    return f"{ROUTER} and {CHOSEN} went to {', '.join(asked_models(stage))}"


def silence(client: GeminiCli, stage: Stage) -> str:
    """Several keep-alives before the first event, and between two, do not disturb it."""
    stage.google.enqueue(slow(thoughts("Hm.") + text("The answer is ", "forty-two."), headers_s=1.4, between_s=1.0))
    assert_says(ask(client, stage, QUESTION), ANSWER)
    assert answered(stage, GEMINI) == [200]
    return "keep-alives every 0.4 s, silence of more than a second"


def broken_stream(client: GeminiCli, stage: Stage) -> str:
    """A stream that breaks off ends in an error that makes it ask again, where a lost connection would end it."""
    stage.google.enqueue(cut(thoughts("Hm.") + text("The ", "answer"), after_events=1), text(ANSWER))
    assert_says(ask(client, stage, QUESTION), ANSWER)
    first, second = stage.google.requests
    assert first.contents == second.contents
    return "it asks once more"


def no_quota(client: GeminiCli, stage: Stage) -> str:
    """The only account has no quota left today: Gemini CLI asks once and says so, also when agproxy knew already."""
    stage.google.default = quota_per_day(model=GEMINI)
    for words in ("You have exhausted your daily quota on this model.", f"all accounts rest for {GEMINI}"):
        finished = ask(client, stage, QUESTION)
        assert finished.code != 0, str(finished)
        assert words in finished.err, str(finished)
    assert answered(stage, GEMINI) == [429, 429], str(finished)
    assert len(stage.google.requests) == 1
    return f"two runs, a request of each, {finished.seconds:.1f} s"


def refused_key(client: GeminiCli, stage: Stage) -> str:
    """The key of the only account is refused: it says why at its first try; of a 5xx it makes ten, in five minutes."""
    stage.google.default = api_key_invalid()
    with gemini(client, stage, QUESTION) as running:
        try:
            told = str(running.wait(FIRST_TRY_S))
        except TookTooLong as error:
            told = str(error)
    assert "API key not valid" in told, told
    assert len(stage.google.requests) == 1
    return f"told within {FIRST_TRY_S:g} s"


def wrong_base_url(client: GeminiCli, stage: Stage) -> str:
    """With a version at the end of the address it says at once what the address is to be."""
    finished = ask(client, stage, QUESTION, version="/v1beta")
    assert finished.code != 0, str(finished)
    assert f"The Base URL for the Gemini CLI is {stage.root_url} (GOOGLE_GEMINI_BASE_URL)" in finished.err, str(
        finished
    )
    return f"{finished.seconds:.1f} s"


def demo(client: GeminiCli, stage: Stage) -> str:
    """Without an account the demo answers, and tells the small model's question from the user's."""
    stage.ini = INI
    stage.restart()
    finished = ask(client, stage, QUESTION, model=None)
    assert finished.code == 0, str(finished)
    assert "no Gemini account is set up yet" in finished.out, str(finished)
    assert not stage.google.requests
    return f"answered by the demo in {finished.seconds:.1f} s"


CHECKS: dict[str, checks.Check[GeminiCli]] = {
    check.__name__: check
    for check in (
        *(answers, write_file, shell, several_calls, image, web_search),
        *(default_model, older_model, mapped_model, silence, broken_stream),
        *(no_quota, refused_key, wrong_base_url, demo),
    )
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.gemini_cli", __doc__, install=install, checks=CHECKS, ini=INI))

"""OpenAI's Codex CLI through agproxy: answers, its tools in each of their forms, a restart, and no quota left.

Codex sends what it thinks the model knows how to use (seen with 0.169): for a name that it does not know, functions
only; for ``gpt-5.5``, a custom tool ``apply_patch`` as well; for its own default ("Responses Lite"), tools within the
input, in namespaces, with one custom tool ``exec`` that takes JavaScript. All map to a Gemini 3 model here, whose calls
the fake signs, and refuses when they come back without.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients import checks, npm, program
from tests.clients.program import Finished, Program
from tests.clients.stage import Stage
from tests.e2e.test_chat import png
from tests.fake_google import Answer, RecordedRequest, api_key_invalid, calls, cut, quota_per_day, text, thoughts

PACKAGE = "@openai/codex@0.169"  # its minor versions change the protocol; below 1.0 they are the major ones
TIMEOUT_S = 90.0
GEMINI = "gemini-3-flash-preview"
INI = f"[models]\ngpt-* = {GEMINI}\n"
RESPONSES = "/v1/responses"
QUESTION = "What is the answer?"
ANSWER = "The answer is forty-two."
DONE = "The file is there."


@dataclass(frozen=True, slots=True)
class Codex:
    """The installed program."""

    command: str
    version: str

    def __str__(self) -> str:
        return f"Codex {self.version}"


def install() -> Codex:
    """Codex, installed when need be."""
    packages = npm.install("codex", PACKAGE)
    return Codex(packages.command("codex"), packages.version("@openai/codex"))


# Running it.


def provider(stage: Stage) -> str:
    """The configuration of a provider of the user's own, as the README has it."""
    return f"""\
model_provider = "agproxy"
[model_providers.agproxy]
name = "agproxy"
base_url = "{stage.base_url}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
"""


def two_tries(stage: Stage) -> str:
    """The same, with two tries of each request instead of 30, which may take half a minute."""
    return provider(stage) + "request_max_retries = 1\nstream_max_retries = 0\n"


def base_url(stage: Stage) -> str:
    """The built-in provider, with another address."""
    return f'openai_base_url = "{stage.base_url}"\n'


def work_folder(stage: Stage) -> Path:
    """Where Codex works."""
    folder = stage.folder / "work"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def codex(
    client: Codex,
    stage: Stage,
    words: str,
    *,
    model: str | None,
    config: Callable[[Stage], str] = provider,
    resume: bool = False,
) -> Iterator[Program]:
    """Codex at work on one prompt.

    :param model: None leaves it to Codex.
    :param config: gives the configuration, TOML.
    :param resume: go on with the conversation of the stage.
    """
    home = stage.folder / "home"
    codex_home = home / ".codex"
    codex_home.mkdir(parents=True, exist_ok=True)
    quiet = "check_for_update_on_startup = false\nanalytics.enabled = false\n"
    (codex_home / "config.toml").write_text(quiet + config(stage))
    (codex_home / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": "unused"}))  # what `codex login` leaves
    env = program.environment(home, npm.node().path, CODEX_HOME=str(codex_home), OPENAI_API_KEY="unused")
    argv = [client.command, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    argv += ["-m", model] if model else []
    argv += ["resume", "--last"] if resume else []
    with program.started([*argv, words], cwd=work_folder(stage), env=env, outputs=stage.folder) as running:
        yield running


def assert_says(running: Program, words: str) -> Finished:
    """It comes to an end, and prints the model's last answer and nothing else."""
    finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert finished.out.strip() == words, str(finished)
    return finished


def call_of(*wanted: tuple[str, dict[str, object]]) -> Callable[[RecordedRequest], Answer]:
    """The model calls tools, by the names that agproxy has declared to Google for them."""

    def script(request: RecordedRequest) -> Answer:
        named = [(declared(request, tool), arguments) for tool, arguments in wanted]
        return thoughts("I need a tool.") + calls(*named)

    return script


def declared(request: RecordedRequest, tool: str) -> str:
    """The name that a tool of Codex has at Google: with its namespace in front, if it is of one."""
    found = [name for name in request.tool_names if name == tool or name.endswith(f"__{tool}")]
    assert len(found) == 1, f"{tool} is not among {request.tool_names}"
    return found[0]


def assert_made(stage: Stage, name: str, content: str, finished: Finished) -> None:
    """The tool has really run."""
    path = work_folder(stage) / name
    assert path.exists(), f"{name} was not made: {finished}"
    assert path.read_text() == content, f"{name}: {path.read_text()!r}"


# What is checked.


def answers(client: Codex, stage: Stage) -> str:
    """A question is answered, and the answer is all that is printed."""
    stage.google.enqueue(thoughts("Six times seven.") + text("The answer is ", "forty-two."))
    with codex(client, stage, QUESTION, model=GEMINI) as running:
        assert_says(running, ANSWER)
    stage.google.assert_no_refusals()
    (request,) = stage.google.requests
    assert request.last_user_text.endswith(QUESTION)
    return f"{ANSWER!r}; it offered {', '.join(request.tool_names)}"


def shell(client: Codex, stage: Stage) -> str:
    """It makes a file with its shell, and tells the model what came of it."""
    stage.google.enqueue(call_of(("exec_command", {"cmd": "echo made > made.txt && echo well done"})), text(DONE))
    with codex(client, stage, "Make a file.", model=GEMINI) as running:
        finished = assert_says(running, DONE)
    assert_made(stage, "made.txt", "made\n", finished)
    stage.assert_signed(1)
    (result,) = stage.google.requests[-1].results
    assert "well done" in json.dumps(result)
    return f"a file by {result['name']}"


def apply_patch(client: Codex, stage: Stage) -> str:
    """It makes a file with a patch, which reaches its custom tool as plain text."""
    patch = "*** Begin Patch\n*** Add File: patched.txt\n+wörds\n*** End Patch\n"
    stage.google.enqueue(call_of(("apply_patch", {"input": patch})), text(DONE))
    with codex(client, stage, "Patch a file.", model="gpt-5.5") as running:
        finished = assert_says(running, DONE)
    assert_made(stage, "patched.txt", "wörds\n", finished)
    stage.assert_signed(1)
    return f"a file by {stage.google.requests[-1].results[0]['name']}"


def default_model(client: Codex, stage: Stage) -> str:
    """With the model that is Codex's own choice it makes a file by JavaScript."""
    script = 'const done = await tools.exec_command({cmd: "echo lite > lite.txt"}); text(JSON.stringify(done));'
    stage.google.enqueue(call_of(("exec", {"input": script})), text(DONE))
    with codex(client, stage, "Make a file.", model=None) as running:
        finished = assert_says(running, DONE)
    assert_made(stage, "lite.txt", "lite\n", finished)
    stage.assert_signed(1)
    (model,) = [line for line in finished.err.splitlines() if line.startswith("model: ")]
    return f"{model}; a file by {stage.google.requests[-1].results[0]['name']}"


def several_calls(client: Codex, stage: Stage) -> str:
    """Three calls in one step, of a shell, of a tool whose result is an image, and of one in a namespace."""
    (work_folder(stage) / "dot.png").write_bytes(base64.b64decode(png().partition(",")[2]))
    stage.google.enqueue(
        call_of(
            ("exec_command", {"cmd": "echo first > first.txt"}),
            ("view_image", {"path": "dot.png"}),
            ("wait_agent", {"targets": ["nobody"]}),
        ),
        text(DONE),
    )
    with codex(client, stage, "Look at this.", model=GEMINI) as running:
        finished = assert_says(running, DONE)
    assert_made(stage, "first.txt", "first\n", finished)
    parts = [part for content in stage.google.requests[-1].contents for part in content["parts"]]
    assert [part["inline_data"]["mime_type"] for part in parts if "inline_data" in part] == ["image/png"]
    results = [part["function_response"] for part in parts if "function_response" in part]
    assert len(results) == 3
    assert "unsupported call" not in json.dumps(results)  # what Codex says to a name that it does not know
    stage.assert_signed(1)
    return f"results of {', '.join(result['name'] for result in results)}, and an image"


def restart(client: Codex, stage: Stage) -> str:
    """agproxy is restarted while a command runs, twice, and no signature is lost.

    It comes back in Codex's own reasoning items (``encrypted_content``), and is in agproxy's store as well.
    """
    work = work_folder(stage)
    for number in (1, 2):
        command = f"touch begun{number}; until test -e go{number}; do sleep 0.1; done; echo {number} > made{number}.txt"
        stage.google.enqueue(call_of(("exec_command", {"cmd": command, "yield_time_ms": 30000})))
    stage.google.enqueue(text(DONE))
    with codex(client, stage, "Make two files.", model=GEMINI) as running:
        for number in (1, 2):
            running.wait_for(work / f"begun{number}", TIMEOUT_S)
            stage.restart()
            (work / f"go{number}").touch()
        finished = assert_says(running, DONE)
    for number in (1, 2):
        assert_made(stage, f"made{number}.txt", f"{number}\n", finished)
    stage.assert_signed(2)
    assert len(stage.google.requests) == 3
    return f"two commands, a restart in each, {len(stage.requests(RESPONSES))} requests"


def resume(client: Codex, stage: Stage) -> str:
    """A conversation with a call goes on in another process, after a restart of agproxy, and has another call."""
    stage.google.enqueue(call_of(("exec_command", {"cmd": "echo first"})), text(ANSWER, sign=True))
    with codex(client, stage, "Begin.", model=GEMINI) as running:
        assert_says(running, ANSWER)
    stage.restart()
    stage.google.enqueue(call_of(("exec_command", {"cmd": "echo second > second.txt"})), text(DONE))
    with codex(client, stage, "Go on.", model=GEMINI, resume=True) as running:
        finished = assert_says(running, DONE)
    assert_made(stage, "second.txt", "second\n", finished)
    stage.assert_signed(2)
    return f"{len(stage.google.requests)} requests, {len(stage.google.requests[-1].contents)} contents in the last"


def broken_stream(client: Codex, stage: Stage) -> str:
    """A stream that breaks off is asked for again, and what came of it is not told twice."""
    stage.google.enqueue(cut(thoughts("Hm.") + text("The ", "answer"), after_events=2), text(ANSWER))
    with codex(client, stage, QUESTION, model=GEMINI) as running:
        finished = assert_says(running, ANSWER)
    stage.google.assert_no_refusals()
    first, second = stage.google.requests
    assert first.contents == second.contents
    told = [line for line in finished.err.splitlines() if line.startswith("ERROR: ")]
    return f"it says {told[0]!r} and asks once more"


def websocket(client: Codex, stage: Stage) -> str:
    """With the built-in provider Codex asks for a WebSocket first, and is refused in the one way that costs no time.

    Answers other than 426 make it try seven times, which takes as many seconds, or give up (seen with 0.169).
    """
    stage.google.enqueue(text(ANSWER))
    with codex(client, stage, QUESTION, model=GEMINI, config=base_url) as running:
        finished = assert_says(running, ANSWER)
    made = [(request.method, request.status) for request in stage.requests(RESPONSES)]
    assert made == [("GET", 426), ("POST", 200)], f"{made}\n{finished}"
    return f"GET 426, then POST 200, in {finished.seconds:.1f} s"


def no_quota(client: Codex, stage: Stage) -> str:
    """The only account has no quota left today: Codex asks once, and says when to come back."""
    stage.google.default = quota_per_day(model=GEMINI)
    with codex(client, stage, QUESTION, model=GEMINI) as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code != 0, str(finished)
    made = [(request.method, request.status) for request in stage.requests(RESPONSES)]
    assert made == [("POST", 429)], f"{made}\n{finished}"
    assert len(stage.google.requests) == 1
    said = [line for line in finished.err.splitlines() if line.startswith("ERROR: ")]
    assert any("usage limit" in line and "Try again at" in line for line in said), str(finished)
    return f"one request, {finished.seconds:.1f} s, {said[-1]!r}"


def refused_key(client: Codex, stage: Stage) -> str:
    """The key of the only account is refused: Codex tries again at once, not a minute later, and says why."""
    stage.google.default = api_key_invalid()
    with codex(client, stage, QUESTION, model=GEMINI, config=two_tries) as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code != 0, str(finished)
    assert finished.seconds < 20, str(finished)
    made = [(request.method, request.status) for request in stage.requests(RESPONSES)]
    assert made == [("POST", 502), ("POST", 502)], f"{made}\n{finished}"
    assert len(stage.google.requests) == 1
    said = [line for line in finished.err.splitlines() if line.startswith("ERROR: ")]
    assert any("API key not valid" in line for line in said), str(finished)
    return f"two requests, {finished.seconds:.1f} s, {said[-1]!r}"


CHECKS: dict[str, checks.Check[Codex]] = {
    check.__name__: check
    for check in (
        *(answers, shell, apply_patch, default_model, several_calls),
        *(restart, resume, broken_stream, websocket, no_quota, refused_key),
    )
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.codex", __doc__, install=install, checks=CHECKS, ini=INI))

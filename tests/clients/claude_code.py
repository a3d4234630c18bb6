"""Anthropic's Claude Code through agproxy: answers, its tools, a search, a restart, broken streams, and no quota left.

It asks for ``claude-opus-5-5`` when it is told no model, with thoughts that it does not show and 12 tools; those that
it seldom needs come after a call of its tool ``ToolSearch`` (seen with 2.1.330). All goes to a model of the family
Gemini 3 here, whose calls the fake signs, and refuses when they come back without.
"""

import base64
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import checks, npm, program
from tests.clients.program import Finished, Program
from tests.clients.stage import Stage
from tests.e2e.test_chat import png
from tests.fake_google import RecordedRequest, calls, cut, grounded, quota_per_day, text, thoughts

PACKAGE = "@anthropic-ai/claude-code"
VERSION = "2.1.330"  # exactly this one: npm would give Node 20 a much older one, although the program runs there
TIMEOUT_S = 90.0
KEY = "agp-a-key-for-tests"
TITLES = "gemini-flash-lite-latest"
INI = f"[server]\nauth_mode = strict\napi_key = {KEY}\n[models]\ninternal-background-task = {TITLES}\n"
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
QUESTION = "What is the answer?"
ANSWER = "The answer is forty-two."
DONE = "It is done."
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
SETTINGS = {"ANTHROPIC_AUTH_TOKEN": KEY, **QUIET}


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """The installed program."""

    command: str
    version: str

    def __str__(self) -> str:
        return f"Claude Code {self.version}"


def install() -> ClaudeCode:
    """Claude Code, installed when need be."""
    packages = npm.install("claude-code", f"{PACKAGE}@{VERSION}", postinstall=PACKAGE)
    return ClaudeCode(packages.command("claude"), packages.version(PACKAGE))


# Running it.


def work_folder(stage: Stage) -> Path:
    """Where Claude Code works."""
    folder = stage.folder / "work"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def claude(
    client: ClaudeCode, stage: Stage, words: str, *options: str, settings: dict[str, str] | None = None
) -> Iterator[Program]:
    """Claude Code at work on one prompt.

    :param settings: variables of its environment beside the address.
    """
    home = stage.folder / "home"
    home.mkdir(exist_ok=True)
    env = program.environment(
        home,
        npm.node().path,
        ANTHROPIC_BASE_URL=stage.root_url,
        IS_SANDBOX="1",  # lets root, too, skip the questions whether a tool may run
        **(SETTINGS if settings is None else settings),
    )
    argv = [client.command, "-p", "--dangerously-skip-permissions", *options, words]
    with program.started(argv, cwd=work_folder(stage), env=env, outputs=stage.folder) as running:
        yield running


def assert_says(running: Program, words: str) -> Finished:
    """It comes to an end, and prints the model's last answer and nothing else."""
    finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert finished.out.strip() == words, str(finished)
    return finished


def play(client: ClaudeCode, stage: Stage, words: str, *wanted: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The model makes these calls at once, and then is done: what Claude Code told it of them, in their order."""
    stage.google.enqueue(thoughts("I need a tool.") + calls(*wanted), text(DONE))
    with claude(client, stage, words) as running:
        assert_says(running, DONE)
    stage.assert_signed(1)
    assert_only_the_conversation(stage)
    told = results(stage.google.requests[-1])
    assert [result["name"] for result in told] == [name for name, _ in wanted]
    return [result["response"] for result in told]


def results(request: RecordedRequest) -> list[dict[str, Any]]:
    """What it told of the calls of the last step; pictures and words may stand behind them, in turns of their own."""
    last = max(number for number, content in enumerate(request.contents) if content["role"] == "model")
    parts = [part for content in request.contents[last:] for part in content["parts"]]
    return [part["function_response"] for part in parts if "function_response" in part]


def assert_only_the_conversation(stage: Stage) -> None:
    """Google is told what is said, and no line that Claude Code writes for Anthropic's own books."""
    for request in stage.google.requests:
        assert b"x-anthropic-billing-header" not in request.raw
        assert b"cc_version" not in request.raw


# What is checked.


def answers(client: ClaudeCode, stage: Stage) -> str:
    """A question is answered, and the answer is all that is printed."""
    stage.google.enqueue(thoughts("Six times seven.") + text("The answer is ", "forty-two."))
    with claude(client, stage, QUESTION) as running:
        assert_says(running, ANSWER)
    (request,) = stage.google.requests
    assert request.stream
    assert request.model == "gemini-pro-latest"
    assert QUESTION in request.last_user_text
    assert {"Agent", "Bash", "Edit", "Read", "ToolSearch", "Write"} <= set(request.tool_names)
    assert "DeferredToolPlaceholder" not in request.tool_names
    assert [(each.method, each.status) for each in stage.requests(MESSAGES)] == [("POST", 200)]
    assert_only_the_conversation(stage)
    return f"{ANSWER!r}; it offered {', '.join(request.tool_names)}"


def models(client: ClaudeCode, stage: Stage) -> str:
    """Its own short names, a name of Gemini, and names in its settings; the key goes in either header.

    It lists agproxy's models when it is told to, and keeps those with a name of its own.
    """
    told = []
    for settings, options in (
        ({"ANTHROPIC_API_KEY": KEY, **QUIET}, ("--model", "sonnet")),
        (SETTINGS, ("--model", "gemini-flash-latest")),
        ({**SETTINGS, "ANTHROPIC_DEFAULT_HAIKU_MODEL": "gemini-3-flash-preview"}, ("--model", "haiku")),
        ({**SETTINGS, "ANTHROPIC_MODEL": "claude-haiku-4-5", "ENABLE_TOOL_SEARCH": "false"}, ()),
        ({**SETTINGS, "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"}, ("--effort", "low")),
    ):
        stage.google.enqueue(text(ANSWER))
        with claude(client, stage, QUESTION, *options, settings=settings) as running:
            assert_says(running, ANSWER)
        told.append(stage.google.requests[-1].model)
    flash, lite, pro = "gemini-flash-latest", "gemini-flash-lite-latest", "gemini-pro-latest"
    assert told == [flash, flash, "gemini-3-flash-preview", lite, pro]
    made = [request for request in stage.google.requests if request.stream]
    assert len(made) == 5
    assert "WebSearch" in made[3].tool_names
    assert_only_the_conversation(stage)
    listed = (stage.folder / "home" / ".claude" / "cache" / "gateway-models.json").read_text()
    assert {"claude-opus-5-5", "claude-sonnet-5-5"} <= {each["id"] for each in json.loads(listed)["models"]}
    return ", ".join(told)


def write(client: ClaudeCode, stage: Stage) -> str:
    """It makes a file with its own tool."""
    path = work_folder(stage) / "made.txt"
    (response,) = play(client, stage, "Make a file.", ("Write", {"file_path": str(path), "content": "wörds\n"}))
    assert path.read_text() == "wörds\n"
    assert "made.txt" in json.dumps(response)
    return f"a file by Write: {response}"


def bash(client: ClaudeCode, stage: Stage) -> str:
    """It makes a file with its shell, and tells the model what the shell has said."""
    command = {"command": "echo made > made.txt && echo well done", "description": "Makes a file"}
    (response,) = play(client, stage, "Make a file.", ("Bash", command))
    assert (work_folder(stage) / "made.txt").read_text() == "made\n"
    assert response == {"output": "well done"}
    return f"a file by Bash: {response}"


def edit(client: ClaudeCode, stage: Stage) -> str:
    """It edits a file, and rewrites what the model has asked for before it sends it back; the signatures hold.

    An Edit has the default of ``replace_all`` then, a Bash no way to where it is anyway (seen with 2.1.330).
    """
    path = work_folder(stage) / "edited.txt"
    path.write_text("one\n")
    stage.google.enqueue(
        calls(("Read", {"file_path": str(path)})),
        calls(("Edit", {"file_path": str(path), "old_string": "one", "new_string": "two"})),
        calls(("Bash", {"command": f"cd {path.parent} && cat edited.txt", "description": "Reads it"})),
        text(DONE),
    )
    with claude(client, stage, "Let it be two.") as running:
        assert_says(running, DONE)
    assert path.read_text() == "two\n"
    assert [result["response"] for result in results(stage.google.requests[-1])] == [{"output": "two"}]
    stage.assert_signed(3)
    return f"{len(stage.google.requests)} requests"


def read_image(client: ClaudeCode, stage: Stage) -> str:
    """The picture that it reads reaches the model."""
    path = work_folder(stage) / "dot.png"
    path.write_bytes(base64.b64decode(png().partition(",")[2]))
    play(client, stage, "Look at this.", ("Read", {"file_path": str(path)}))
    seen = _blobs(stage.google.requests[-1].canonical["contents"])
    assert [blob["mime_type"] for blob in seen] == ["image/png"]
    return f"{seen[0]['mime_type']}, {len(base64.b64decode(seen[0]['data']))} bytes"


def _blobs(value: Any) -> list[dict[str, Any]]:
    """Every ``inline_data`` within a value."""
    if isinstance(value, list):
        return [blob for each in value for blob in _blobs(each)]
    if not isinstance(value, dict):
        return []
    own = [value["inline_data"]] if "inline_data" in value else []
    return own + [blob for name, each in value.items() if name != "inline_data" for blob in _blobs(each)]


def parallel_calls(client: ClaudeCode, stage: Stage) -> str:
    """Two calls of one step both run, and each result stands with its own call."""
    path = work_folder(stage) / "first.txt"
    told = play(
        client,
        stage,
        "Make two files.",
        ("Write", {"file_path": str(path), "content": "first\n"}),
        ("Bash", {"command": "echo second > second.txt; echo the second", "description": "Makes a file"}),
    )
    assert path.read_text() == "first\n"
    assert (work_folder(stage) / "second.txt").read_text() == "second\n"
    assert told[1] == {"output": "the second"}
    return f"{len(told)} results: {told}"


def failing_tools(client: ClaudeCode, stage: Stage) -> str:
    """A tool that fails is told to the model as an error."""
    missing = str(work_folder(stage) / "missing.txt")
    told = play(
        client,
        stage,
        "Try these.",
        ("Read", {"file_path": missing}),
        ("Bash", {"command": "echo so it is; exit 3", "description": "Fails"}),
    )
    assert [list(response) for response in told] == [["error"], ["error"]]
    assert "Exit code 3" in told[1]["error"]
    assert "so it is" in told[1]["error"]
    return str(told)


def subagent(client: ClaudeCode, stage: Stage) -> str:
    """An agent of its own works on a part, in a conversation of its own, and its report reaches the model."""
    task = {"description": "Ask", "prompt": QUESTION, "subagent_type": "Explore", "run_in_background": False}
    stage.google.enqueue(calls(("Agent", task)), text("It reports 42."), text(DONE))
    with claude(client, stage, "Have it found out.") as running:
        assert_says(running, DONE)
    first, second, third = stage.google.requests
    assert len(second.contents) < len(third.contents)
    assert "Agent" in first.tool_names
    assert "Agent" not in second.tool_names
    assert "It reports 42." in json.dumps(results(third))
    stage.assert_signed(1)
    assert_only_the_conversation(stage)
    return f"the agent was offered {', '.join(second.tool_names)}"


def web_search(client: ClaudeCode, stage: Stage) -> str:
    """It loads its search tool, which asks in a request of its own, and gives the model what Google's search found."""
    stage.google.enqueue(
        calls(("ToolSearch", {"query": "select:WebSearch", "max_results": 5})),
        calls(("WebSearch", {"query": "the weather in Oslo"})),
        grounded("It is [[cold|0,1]]."),
        text(DONE),
    )
    with claude(client, stage, "How is the weather?") as running:
        assert_says(running, DONE)
    first, loaded, search, last = stage.google.requests
    assert "WebSearch" not in first.tool_names
    assert "WebSearch" in loaded.tool_names
    assert "WebSearch" in json.dumps(results(loaded))
    assert search.canonical["tools"] == [{"google_search": {}}]
    assert "the weather in Oslo" in search.last_user_text
    (result,) = results(last)
    found = result["response"]["output"]
    assert "It is cold." in found
    assert "https://example.com/a" in found
    stage.assert_signed(2)
    assert_only_the_conversation(stage)
    return repr(found)


def context(client: ClaudeCode, stage: Stage) -> str:
    """It counts the tokens of what it would send, all at once, and each count is answered."""
    with claude(client, stage, "/context") as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code == 0, str(finished)
    assert "Context Usage" in finished.out, str(finished)
    counted = stage.requests(COUNT_TOKENS)
    assert len(counted) >= 10, str(finished)
    assert {each.status for each in counted} == {200}
    assert not stage.requests(MESSAGES)
    stage.google.assert_no_refusals()
    (tokens,) = [line for line in finished.out.splitlines() if line.startswith("**Tokens:**")]
    return f"{len(counted)} counts; {tokens.strip()}"


def terminal(client: ClaudeCode, stage: Stage) -> str:
    """At a terminal the background's model names the session."""
    home, work = stage.folder / "home", work_folder(stage)
    (home / ".claude").mkdir(parents=True)
    trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    asked_before = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(work): trusted}}
    (home / ".claude.json").write_text(json.dumps(asked_before))
    env = program.environment(
        home, npm.node().path, ANTHROPIC_BASE_URL=stage.root_url, ANTHROPIC_AUTH_TOKEN=KEY, TERM="xterm"
    )
    clear, enter = "\x15", "\r"
    deadline = time.monotonic() + TIMEOUT_S
    with program.at_terminal([client.command], cwd=work, env=env) as press:
        for keys in itertools.cycle((clear + QUESTION, enter)):  # what comes too early may be lost
            press(keys)
            with contextlib.suppress(TimeoutError):
                stage.google.wait_for(2, timeout=1)
            if len(stage.google.requests) >= 2 or time.monotonic() > deadline:
                break
    stage.google.assert_no_refusals()
    asked = {request.model: request for request in stage.google.requests}
    assert QUESTION in asked["gemini-pro-latest"].last_user_text
    assert "<session>" in asked[TITLES].last_user_text
    assert asked[TITLES].canonical["generation_config"]["response_mime_type"] == "application/json"
    assert_only_the_conversation(stage)
    return f"a title by {TITLES}"


def restart(client: ClaudeCode, stage: Stage) -> str:
    """agproxy is restarted while a command runs, twice, and no signature is lost."""
    work = work_folder(stage)
    for number in (1, 2):
        command = f"touch begun{number}; until test -e go{number}; do sleep 0.1; done; echo {number} > made{number}.txt"
        stage.google.enqueue(calls(("Bash", {"command": command, "description": "Waits"})))
    stage.google.enqueue(text(DONE))
    with claude(client, stage, "Make two files.") as running:
        for number in (1, 2):
            running.wait_for(work / f"begun{number}", TIMEOUT_S)
            stage.restart()
            (work / f"go{number}").touch()
        assert_says(running, DONE)
    assert [(work / f"made{number}.txt").read_text() for number in (1, 2)] == ["1\n", "2\n"]
    stage.assert_signed(2)
    assert len(stage.google.requests) == 3
    return f"two commands, a restart in each, {len(stage.requests(MESSAGES))} requests"


def resume(client: ClaudeCode, stage: Stage) -> str:
    """A conversation with a call goes on in another process, after a restart of agproxy, and has another call."""
    stage.google.enqueue(thoughts("Hm.") + calls(("Bash", {"command": "echo first", "description": "Says it"})))
    stage.google.enqueue(text(ANSWER, sign=True))
    with claude(client, stage, "Begin.") as running:
        assert_says(running, ANSWER)
    stage.restart()
    stage.google.enqueue(calls(("Bash", {"command": "echo second > second.txt", "description": "Says it"})), text(DONE))
    with claude(client, stage, "Go on.", "--continue") as running:
        assert_says(running, DONE)
    assert (work_folder(stage) / "second.txt").read_text() == "second\n"
    stage.assert_signed(2)
    assert_only_the_conversation(stage)
    return f"{len(stage.google.requests)} requests, {len(stage.google.requests[-1].contents)} contents in the last"


def broken_streams(client: ClaudeCode, stage: Stage) -> str:
    """An answer that breaks off is asked for again, and what came of it is not told twice.

    When no block of it was whole, then in one piece; else the model is told to go on (seen with 2.1.330).
    """
    broken = text("The ", "answer")
    kinds = []
    for answer, after in ((broken, 1), (thoughts("Hm.") + broken, 2)):
        stage.google.enqueue(cut(answer, after_events=after), text(ANSWER))
        with claude(client, stage, QUESTION) as running:
            assert_says(running, ANSWER)
        first, second = stage.google.requests[-2:]
        assert first.stream
        kinds += [(second.stream, "cut off mid-stream" in second.last_user_text)]
    assert kinds == [(False, False), (True, True)]
    assert len(stage.requests(MESSAGES)) == len(stage.google.requests) == 4
    return "a stream and one body; two streams"


def no_quota(client: ClaudeCode, stage: Stage) -> str:
    """The only account has no quota left today: Claude Code asks once, and says so."""
    stage.google.default = quota_per_day(model="gemini-pro-latest")
    with claude(client, stage, QUESTION) as running:
        finished = running.wait(TIMEOUT_S)
    assert finished.code != 0, str(finished)
    assert [each.status for each in stage.requests(MESSAGES)] == [429], str(finished)
    assert len(stage.google.requests) == 1
    assert "429" in finished.out, str(finished)
    assert "quota" in finished.out, str(finished)
    return f"one request, {finished.seconds:.1f} s, {finished.out.strip()!r}"


def wrong_key(client: ClaudeCode, stage: Stage) -> str:
    """A key that agproxy does not know is refused once and for all."""
    with claude(client, stage, QUESTION, settings={"ANTHROPIC_AUTH_TOKEN": "wrong", **QUIET}) as running:
        finished = running.wait(30)
    assert finished.code != 0, str(finished)
    assert [each.status for each in stage.requests(MESSAGES)] == [401], str(finished)
    assert not stage.google.requests
    return f"one request, {finished.seconds:.1f} s, {finished.out.strip()!r}"


CHECKS: dict[str, checks.Check[ClaudeCode]] = {
    check.__name__: check
    for check in (
        *(answers, models, write, edit, bash, read_image, parallel_calls, failing_tools, subagent, web_search, context),
        *(terminal, restart, resume, broken_streams, no_quota, wrong_key),
    )
}

if __name__ == "__main__":
    sys.exit(checks.main("tests.clients.claude_code", __doc__, install=install, checks=CHECKS, ini=INI))

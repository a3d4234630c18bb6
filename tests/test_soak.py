"""``tools/soak``: short runs of it, and that it notices what is wrong with answers, connections and the log."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agproxy.chat import (
    ChatRequest,
    Event,
    Failed,
    Finish,
    ReasoningDelta,
    Relayed,
    ReplyMeta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from agproxy.errors import UpstreamCut
from agproxy.fold import fold
from agproxy.protocols import anthropic_messages, gemini, openai_chat, openai_completions, openai_responses

TOOLS = Path(__file__).parents[1] / "tools"
sys.path.append(str(TOOLS))
check: Any = importlib.import_module("soak_check")  # a tool, which is in no package
job: Any = importlib.import_module("soak_job")
report: Any = importlib.import_module("soak_report")
script: Any = importlib.import_module("soak_script")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a soak run reads Linux's /proc")


def soak(arguments: str, folder: Path) -> tuple[int, str, dict[str, str]]:
    """A run: its exit status, its output, and its verdicts by what they are about.

    :param folder: for what it leaves behind.
    """
    argv = [sys.executable, str(TOOLS / "soak_run.py"), *arguments.split()]
    run = subprocess.run(argv, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=120)
    found = re.findall(r"^(PASS|FAIL|SKIP)  (.{34})", run.stdout, re.MULTILINE)
    return run.returncode, run.stdout + run.stderr, {title.strip(): mark for mark, title in found}


def test_a_short_run_passes_everything_but_the_drift_that_it_is_too_short_for(tmp_path: Path) -> None:
    arguments = "--requests 900 --streams 50 --stream-seconds 1.5 --faults 4% --seed 1"
    status, output, verdicts = soak(arguments, tmp_path)
    skipped = {"CPU per request": "SKIP", "memory of the worker": "SKIP"}
    passed = (
        *(
            "wrong answers",
            "50 streams at once, all whole",
            "memory of the worker, streams",
            "requests still under way",
        ),
        *("connections to the upstream", "open files of the worker", "greenlets of the worker"),
        *("threads of the worker", "lines of the access log", "complaints in the log"),
        "requests counted in flight",
    )
    assert (verdicts, status) == ({**skipped, **dict.fromkeys(passed, "PASS")}, 0), output
    hit = dict(re.findall(r"^(\w+) +\d+ +(\d+) ", output, re.MULTILINE))
    assert {"quota", "internal", "overloaded", "reset", "cut"} <= hit.keys(), output
    assert re.search(r"^ +\d+  (HTTP|in-band) ", output, re.MULTILINE), output


def test_a_changed_character_a_cut_stream_and_a_lost_line_of_the_log_fail_the_run(tmp_path: Path) -> None:
    arguments = "--requests 600 --streams 0 --faults 0% --seed 1 --app tests.soak_doctored:app"
    status, output, verdicts = soak(arguments, tmp_path)
    failed = {title for title, mark in verdicts.items() if mark == "FAIL"}
    assert (failed, status) == ({"wrong answers", "lines of the access log"}, 1), output
    assert "gatewaj" in output
    assert "the end is missing" in output
    [sent] = re.findall(r"wrong answers +\d+ of (\d+) requests", output)
    [(lines, of)] = re.findall(r"lines of the access log +(\d+) of (\d+)", output)
    assert (of, int(sent) - int(lines)) == (sent, int(sent) // 60)
    assert list(tmp_path.glob("agproxy-soak-*.log")), "a run that fails leaves the log"


# What an answer is held to, by answers that agproxy's own encoders make.

PLAN = script.Plan(7, events=4, length=200, thinks=True, calls=True)
SILENT = script.Plan(8, events=4, length=200)  # for Completions, which knows no calls
PROTOCOLS: dict[str, Any] = {
    "chat": openai_chat,
    "completions": openai_completions,
    "responses": openai_responses,
    "messages": anthropic_messages,
    "gemini": gemini,
    "array": gemini,
}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "completions": {"prompt": "hi"},
    "responses": {"input": "hi"},
    "messages": {
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [{"role": "user", "content": "hi"}],
    },
}
TRANSLATED = tuple(BODIES)


def plan_of(protocol: str) -> Any:
    return SILENT if protocol == "completions" else PLAN


def asked(protocol: str) -> ChatRequest:
    request: ChatRequest = PROTOCOLS[protocol].decode_request({"model": "m", "stream": True, **BODIES[protocol]})
    return request


def meta(protocol: str) -> ReplyMeta:
    echo = asked(protocol).echo if protocol in BODIES else "array" if protocol == "array" else None
    return ReplyMeta("resp_1", 1, "m", echo=echo)


def said(protocol: str, plan: Any) -> list[Event]:
    """The events of the answer to a plan, but for its end."""
    if protocol in ("gemini", "array"):
        return [Relayed(json.dumps(chunk).encode(), True) for chunk in chunks(plan)]
    events: list[Event] = [ReasoningDelta(plan.thoughts)] if plan.thinks else []
    events += [TextDelta(piece) for piece in plan.pieces()]
    if plan.calls:
        events += [ToolCallStart(0, "call_1", script.TOOL), ToolCallDelta(0, json.dumps(plan.arguments))]
    return events


def chunks(plan: Any) -> list[dict[str, Any]]:
    """The same in Gemini's words."""
    parts: list[dict[str, Any]] = [{"text": plan.thoughts, "thought": True}]
    parts += [{"text": piece} for piece in plan.pieces()]
    parts.append({"functionCall": {"name": script.TOOL, "args": plan.arguments}})
    candidates: list[dict[str, Any]] = [{"content": {"parts": [part]}} for part in parts]
    candidates[-1]["finishReason"] = "STOP"
    return [{"responseId": "r", "candidates": [candidate]} for candidate in candidates]


def end(plan: Any) -> Finish:
    return Finish("tool_calls" if plan.calls else "stop")


def streamed(protocol: str, events: Iterable[Event]) -> list[bytes]:
    """The pieces of a stream, as they go out."""
    return [piece for piece in PROTOCOLS[protocol].encode_stream(events, meta(protocol)) if piece]


def right(protocol: str) -> list[bytes]:
    plan = plan_of(protocol)
    return streamed(protocol, [*said(protocol, plan), end(plan)])


def judged(protocol: str, pieces: Sequence[bytes], *, stream: bool = True) -> str:
    """What is wrong with an answer; empty = nothing. An error is told as such."""
    told = check.Told()
    try:
        check.read(protocol, iter(pieces), told, stream=stream)
        check.check(told, plan_of(protocol))
    except check.Wrong as wrong:
        return str(wrong)
    return "" if told.error is None else f"error {told.error}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_whole_stream_is_right_however_it_is_cut_into_pieces(protocol: str) -> None:
    whole = b"".join(right(protocol))
    for size in (1, 2, 3, 7, 64, len(whole)):
        assert judged(protocol, [whole[at : at + size] for at in range(0, len(whole), size)]) == ""


@pytest.mark.parametrize("protocol", TRANSLATED)
def test_a_whole_body_is_right(protocol: str) -> None:
    plan = plan_of(protocol)
    body = PROTOCOLS[protocol].encode_reply(fold([*said(protocol, plan), end(plan)]), meta(protocol))
    assert judged(protocol, [json.dumps(body).encode()], stream=False) == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_ends_after_any_of_its_pieces_but_the_last_is_wrong(protocol: str) -> None:
    pieces = right(protocol)
    for count in range(len(pieces)):
        assert judged(protocol, pieces[:count]) != "", count


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_lost_any_of_its_pieces_is_wrong(protocol: str) -> None:
    pieces = right(protocol)
    for lost in range(len(pieces)):
        assert judged(protocol, pieces[:lost] + pieces[lost + 1 :]) != "", pieces[lost]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_with_a_piece_that_comes_twice_is_wrong(protocol: str) -> None:
    pieces = right(protocol)
    for twice in range(len(pieces)):
        assert judged(protocol, pieces[: twice + 1] + pieces[twice:]) != "", pieces[twice]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_other_character_is_wrong(protocol: str) -> None:
    plan = plan_of(protocol)
    whole = b"".join(right(protocol)).decode()
    digit = f"#{plan.number} "
    assert digit in whole
    assert "instead of" in judged(protocol, [whole.replace(digit, "#9 ").encode()])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_in_the_middle_is_an_error_and_no_cut(protocol: str) -> None:
    begun = said(protocol, plan_of(protocol))[:3]
    pieces = streamed(protocol, [*begun, Failed(UpstreamCut("it broke"))])
    assert judged(protocol, pieces).startswith("error ")


@pytest.mark.parametrize("protocol", ["chat", "completions", "messages", "gemini"])
def test_what_comes_after_an_error_is_wrong(protocol: str) -> None:
    begun = said(protocol, plan_of(protocol))[:3]
    pieces = streamed(protocol, [*begun, Failed(UpstreamCut("it broke"))])
    assert "the end" in judged(protocol, [*pieces, right(protocol)[-1]]) or "place" in judged(
        protocol, [*pieces, right(protocol)[-1]]
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_has_the_form_of_its_protocol(protocol: str) -> None:
    error = UpstreamCut("it broke")
    body = PROTOCOLS[protocol].encode_error(error)
    if protocol == "messages":
        body["request_id"] = "req_1"
    assert check.refusal(protocol, 502, json.dumps(body).encode())
    for other in (b"", b"<html>", b'{"error": "it broke"}', b'{"error": {"message": "it broke"}}'):
        with pytest.raises(check.Wrong):
            check.refusal(protocol, 502, other)


# Faults, and what is judged.


def test_the_faults_of_a_number_are_the_same_each_time_and_as_many_as_asked_for() -> None:
    plans = [script.Plan(number) for number in range(20_000)]
    faults = [script.fault(plan, 0, seed=1, share=0.05) for plan in plans]
    assert faults == [script.fault(script.find(plan.mark.encode()), 0, seed=1, share=0.05) for plan in plans]
    assert 900 < sum(fault is not None for fault in faults) < 1100
    assert set(faults) == {None, *script.FAULTS}


def window(cpu_s: float, heap_mb: float, **state: int) -> Any:
    """A window of a long run that used so much."""
    numbers = {"connections": 24, "busy": 0, "files": 13, "threads": 5, "greenlets": 0, "objects": 0, **state}
    return report.Window(
        requests=10_000,
        wall_s=20.0,
        cpu_s=cpu_s,
        upstream_cpu_s=1.0,
        others=0.0,
        heap_mb=heap_mb,
        peak_heap_mb=heap_mb,
        report=job.Report(sent=10_000, right=10_000),
        state=report.State(pss_mb=heap_mb + 5.0, **numbers),
    )


def verdicts(windows: Sequence[Any], lines: int | None = None) -> set[str]:
    """What fails of a run."""
    sent = sum(each.requests for each in windows) + 10_000
    results = report.Results(
        warm_up=window(20.0, 40.0),
        windows=windows,
        rounds=[],
        streams=report.Streams(0, 0, 0, 0),
        counts={},
        log=report.Log(requests=sent if lines is None else sent - lines),
        connections=24,
        spare_files=3,
        in_flight=None,
    )
    return {verdict.title for verdict in report.verdicts(results) if verdict.holds is False}


def test_complaints_are_told_from_what_the_faults_of_a_run_bring_with_them(tmp_path: Path) -> None:
    at = "2026-11-22 14:36:06,563"
    lines = [
        f"{at} INFO id=req_{10:024x} method=POST path=/v1/messages status=200",
        f"{at} INFO id=req_{5:024x} method=POST path=/v1/messages status=502 error=upstream_cut",
        f"{at} INFO attempt failed account=a1 error=The model is overloaded.",
        f"{at} WARNING account rests account=a1 scope=quota",
        f"{at} WARNING answer broke off account=a1",
        f"{at} WARNING store cannot be used path=state.db reason=database is locked",
        f"{at} ERROR stream failed id=req_1",
        "Traceback (most recent call last):",
        "[2026-11-22 14:36:06 +0000] [7] [ERROR] Socket error processing request.",
    ]
    path = tmp_path / "log"
    path.write_text("".join(f"{line}\n" for line in lines))
    log = report.read_log(path)
    assert (log.requests, log.ids, log.complaints) == (2, 15, lines[5:])


def test_windows_that_other_work_has_spoiled_do_not_count_for_cpu_time() -> None:
    spoiled = dataclasses.replace(window(26.0, 40.0), others=0.9)
    assert verdicts([*STEADY[:6], spoiled, spoiled, spoiled]) == set()
    assert verdicts([*STEADY[:2], *[spoiled] * 7]) == set()
    assert verdicts([*STEADY[:6], *[window(26.0, 40.0)] * 3]) == {"CPU per request"}


def test_a_machine_that_became_slower_is_no_drift_of_agproxy_but_what_goes_beyond_it_is() -> None:
    slower = [dataclasses.replace(window(22.0, 40.0), upstream_cpu_s=1.1) for _ in range(3)]
    assert verdicts([*STEADY[:6], *slower]) == set()
    assert verdicts([*STEADY[:6], *(dataclasses.replace(each, cpu_s=24.0) for each in slower)]) == {"CPU per request"}


STEADY = [window(20.0 + noise, 40.0) for noise in (0.0, 1.5, 0.2, -0.3, 0.1, 2.0, 0.3, -0.2, 0.4)]


def test_a_run_that_stays_as_it_was_passes() -> None:
    assert verdicts(STEADY) == set()


@pytest.mark.parametrize(
    ("last", "fails"),
    [
        ([window(21.5, 40.0)] * 3, "CPU per request"),
        ([window(20.0, 42.5)] * 3, "memory of the worker"),
        ([window(20.0, 40.0, busy=1)] * 3, "requests still under way"),
        ([window(20.0, 40.0, connections=60)] * 3, "connections to the upstream"),
        ([window(20.0, 40.0, files=20)] * 3, "open files of the worker"),
        ([window(20.0, 40.0, greenlets=6)] * 3, "greenlets of the worker"),
        ([window(20.0, 40.0, threads=16)] * 3, "threads of the worker"),
    ],
)
def test_what_grows_fails(last: list[Any], fails: str) -> None:
    assert verdicts(STEADY[:6] + last) == {fails}


def test_one_line_of_the_log_that_is_missing_fails() -> None:
    assert verdicts(STEADY, lines=1) == {"lines of the access log"}

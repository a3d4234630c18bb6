"""Errors of Responses: as a body, and in the middle of a stream, where what had come before is kept."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import Event, Failed, Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from agproxy.errors import (
    BadRequest,
    GatewayError,
    ModelNotFound,
    NotStored,
    PayloadTooLarge,
    PoolUnavailable,
    UpstreamCut,
    UpstreamRefusal,
    UpstreamTimeout,
)
from agproxy.protocols import openai_chat
from agproxy.protocols.openai_responses import encode_error, encode_failure, encode_stream
from tests.protocols.answers import SIGNED, answers
from tests.protocols.response_answers import META, SEALING, Json, decoded, stream, told


def tired(retry_after_s: float | None, retry_at: float | None, *, status: int = 429) -> PoolUnavailable:
    """That of a pool without a free account."""
    error = PoolUnavailable("tired", status=status, retry_after_s=retry_after_s)
    error.retry_at = retry_at
    return error


# Bodies.


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("no", param="input[0].role"),
        NotStored("gone", param="previous_response_id", code="previous_response_not_found"),
        ModelNotFound("no such model", param="model"),
        UpstreamRefusal("no", status=400, reason="INVALID_ARGUMENT"),
        UpstreamCut("stopped"),
        tired(5.0, 1_700_000_005.0),
        tired(None, None),
        tired(3600.0, None),
        tired(3600.0, 1_700_003_600.0, status=503),
        ZeroDivisionError("secret"),
    ],
)
def test_error_is_that_of_chat_completions(error: Exception) -> None:
    assert encode_error(error) == openai_chat.encode_error(error)


@pytest.mark.parametrize(
    ("there", "here"),
    [("messages", "input"), ("max_completion_tokens", "max_output_tokens"), ("tools", "tools"), (None, None)],
)
def test_field_has_its_name_of_here(there: str | None, here: str | None) -> None:
    assert encode_error(BadRequest("no", param=there))["error"]["param"] == here


@pytest.mark.parametrize(("waits_s", "is_long"), [(60.0, False), (60.5, True), (86_400.0, True)])
def test_quota_that_is_used_up_for_long_tells_codex_when_to_come_back(waits_s: float, is_long: bool) -> None:
    told = encode_error(tired(waits_s, 1_700_000_000.25 + waits_s))["error"]
    assert (told["type"], told.get("resets_at")) == (
        ("usage_limit_reached", int(1_700_000_001 + waits_s)) if is_long else ("rate_limit_exceeded", None)
    )
    assert told["message"] == "tired"


@pytest.mark.parametrize(
    ("status", "code"), [(503, "server_is_overloaded"), (529, "server_is_overloaded"), (500, None)]
)
def test_service_that_is_overloaded_says_so_to_codex(status: int, code: str | None) -> None:
    error = UpstreamRefusal("busy", status=status)
    assert encode_error(error)["error"]["code"] == (code or openai_chat.encode_error(error)["error"]["code"])


# In the middle of a stream.


@pytest.mark.parametrize(
    ("error", "code", "kind", "flat"),
    [
        (UpstreamCut("stopped"), "server_error", "server_error", "upstream_cut"),
        (UpstreamTimeout("slow"), "server_error", "server_error", "upstream_timeout"),
        (BadRequest("no", param="input"), "invalid_prompt", "invalid_request_error", "invalid_prompt"),
        (PayloadTooLarge("big"), "invalid_prompt", "invalid_request_error", "request_too_large"),
        (
            PoolUnavailable("tired", status=429),
            *("rate_limit_exceeded", "rate_limit_exceeded", "no_account_available"),
        ),
        (GatewayError("ours"), "server_error", "server_error", "server_error"),
    ],
)
def test_failure_is_an_error_and_a_failed_response(error: GatewayError, code: str, kind: str, flat: str) -> None:
    *_, event, last = stream(TextDelta("Hel"), Failed(error))
    words = {"code": flat, "message": error.message, "param": error.param}
    number = event["sequence_number"]
    assert event == {"type": "error", "sequence_number": number, **words, "error": {"type": kind, **words}}
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": code, "message": error.message, "type": kind}
    assert last["response"]["usage"] is None


def test_fault_of_ours_in_the_middle_is_told_without_its_words() -> None:
    response = told(TextDelta("Hel"), Failed(ZeroDivisionError("secret")))
    assert response["error"] == {
        "code": "server_error",
        "message": "agproxy failed; its log says why",
        "type": "server_error",
    }


def test_what_had_come_before_a_failure_is_kept() -> None:
    events: list[Event] = [
        ReasoningDelta("Hm"),
        TextDelta("Well"),
        ToolCallStart(0, "a", "look", SIGNED),
        ToolCallDelta(0, "{}"),
        ToolCallStart(1, "b", "look"),
        ToolCallDelta(1, '{"at":'),
        ToolCallStart(2, "c", "patch"),
        ToolCallDelta(2, '{"inp'),
        TextDelta("so"),
    ]
    items = told(*events, Failed(UpstreamCut("stopped")), meta=SEALING)["output"]
    assert [(item["type"], item.get("status")) for item in items] == [
        ("reasoning", None),
        ("message", "completed"),
        ("reasoning", None),
        ("function_call", "completed"),
        ("function_call", "incomplete"),
        ("custom_tool_call", "incomplete"),
        ("message", "incomplete"),
    ]
    assert (items[4]["arguments"], items[5]["input"], items[6]["content"][0]["text"]) == ('{"at":', "", "so")
    (thoughts,) = told(ReasoningDelta("H"), ReasoningDelta("m"), Failed(UpstreamCut("stopped")))["output"]
    assert thoughts["summary"] == [{"type": "summary_text", "text": "Hm"}]


def test_failed_response_is_shown_before_it_goes_out() -> None:
    shown: list[Json] = []
    told(TextDelta("a"), Failed(UpstreamCut("stopped")), meta=replace(META, conclude=shown.append))
    assert [response["status"] for response in shown] == ["failed"]


def test_nothing_is_read_beyond_a_failure() -> None:
    read: list[str] = []

    def events() -> Iterable[Event]:
        yield Failed(UpstreamCut("stopped"))
        read.append("beyond the failure")
        yield Finish("stop")

    assert [event["type"] for event in decoded(encode_stream(events(), META))][2:] == ["error", "response.failed"]
    assert read == []


def test_failure_by_itself_is_an_error_and_the_end() -> None:
    error = BadRequest("no", param="input")
    (event,) = decoded([encode_failure(error)])
    assert event["error"] == {**encode_error(error)["error"], "code": "invalid_prompt"}
    (event,) = decoded([encode_failure(ZeroDivisionError("secret"))])
    assert "secret" not in json.dumps(event)


@given(answers(freeform=True), st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_stream_that_breaks_off_anywhere_tells_what_had_come(events: list[Event], data: st.DataObject) -> None:
    before = data.draw(st.integers(0, len(events) - 1))
    response = told(*events[:before], Failed(UpstreamCut("stopped")), meta=SEALING)
    assert response["status"] == "failed"

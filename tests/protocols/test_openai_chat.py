"""Chat Completions answers: whole bodies and errors, judged by the types of the ``openai`` package."""

from typing import get_args

import pytest

from agproxy.chat import (
    Citation,
    Event,
    Finish,
    FinishReason,
    ImageDelta,
    OtherChoice,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, GatewayError, ModelNotFound, PoolUnavailable, UpstreamRefusal
from agproxy.protocols.openai_chat import encode_error, encode_failure
from tests.protocols.answers import CALL, OLDER, SIGNED, USAGE, accumulated, reply, stream

CITED: list[Event] = [Citation("https://a.co/", "Sky", 0, 4), Citation("https://b.co/", "b.co", 5, 5)]
H = TokenLogprob("H", -0.5, (TokenLogprob("H", -0.5), TokenLogprob("J", -2.0)))
E = TokenLogprob("é", -1.0)
Y = TokenLogprob("y", -9999.0)
SCORED = [
    {
        "token": "H",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [
            {"token": "H", "logprob": -0.5, "bytes": [72]},
            {"token": "J", "logprob": -2.0, "bytes": [74]},
        ],
    },
    {"token": "é", "logprob": -1.0, "bytes": [195, 169], "top_logprobs": []},
]


# Whole bodies.


def test_body_of_a_text() -> None:
    assert reply(TextDelta("Hel"), TextDelta("lo"), Finish("stop", USAGE)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 4,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def test_body_of_a_call_has_null_content_and_arguments_as_text() -> None:
    body = reply(*CALL, Finish("tool_calls"))
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at":"sky"}'},
                "extra_content": SIGNED,
            }
        ],
    }


def test_body_of_a_custom_tools_call_has_plain_text() -> None:
    call: list[Event] = [ToolCallStart(0, "c", "patch", SIGNED), ToolCallDelta(0, '{"input":"*** \\"Begin\\"\\n"}')]
    message = reply(*call, Finish("tool_calls"))["choices"][0]["message"]
    custom = {"name": "patch", "input": '*** "Begin"\n'}
    assert message["tool_calls"] == [{"id": "c", "type": "custom", "custom": custom, "extra_content": SIGNED}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"x"}', "x"),
        ("{}", ""),
        ("", ""),
        ('{"input":{"a":1}}', '{"a": 1}'),
        ('{"other":"x"}', "x"),
        ('{"a":1}', '{"a": 1}'),
    ],
)
def test_input_of_a_custom_tool_is_text_whatever_the_model_wrote(arguments: str, text: str) -> None:
    events: list[Event] = [ToolCallStart(0, "c", "patch"), ToolCallDelta(0, arguments), Finish("tool_calls")]
    assert reply(*events)["choices"][0]["message"]["tool_calls"][0]["custom"]["input"] == text
    assert accumulated(stream(*events))[0]["message"]["tool_calls"][0]["custom"]["input"] == text


def test_body_of_a_refusal() -> None:
    message = reply(Finish("content_filter", refusal="Gemini refused the prompt (SAFETY)."))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "refusal": "Gemini refused the prompt (SAFETY)."}


def test_body_of_nothing_but_an_image() -> None:
    message = reply(ImageDelta("image/png", "QQ=="), Finish("stop"))["choices"][0]["message"]
    url = {"url": "data:image/png;base64,QQ=="}
    assert message["images"] == [{"type": "image_url", "index": 0, "image_url": url}]
    assert message["content"] == ""


def test_body_tells_reasoning_and_signature_in_fields_of_their_own() -> None:
    message = reply(ReasoningDelta("Hm"), TextDelta("Yes", SIGNED), Finish("stop"))["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"], message["extra_content"]) == ("Yes", "Hm", SIGNED)


@pytest.mark.parametrize("reason", get_args(FinishReason))
def test_finish_reasons_are_those_of_the_sdk(reason: FinishReason) -> None:
    assert reply(TextDelta("x"), Finish(reason))["choices"][0]["finish_reason"] == reason
    assert stream(TextDelta("x"), Finish(reason))[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("usage", [Usage(), USAGE, Usage(5, 0, 5, 0), Usage(0, 7, 0, 7)])
def test_usage_adds_up(usage: Usage) -> None:
    told = reply(TextDelta("x"), Finish("stop", usage))["usage"]
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
    assert told["prompt_tokens_details"]["cached_tokens"] <= told["prompt_tokens"]
    assert told["completion_tokens_details"]["reasoning_tokens"] <= told["completion_tokens"]


def test_body_cites_pages_by_characters_of_the_text() -> None:
    message = reply(TextDelta("Rain."), *CITED, Finish("stop"))["choices"][0]["message"]
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 4, "title": "Sky", "url": "https://a.co/"},
        },
        {
            "type": "url_citation",
            "url_citation": {"start_index": 5, "end_index": 5, "title": "b.co", "url": "https://b.co/"},
        },
    ]


def test_body_tells_how_likely_each_token_was() -> None:
    body = reply(TextDelta("Hé", logprobs=(H, E)), TextDelta("y", logprobs=(Y,)), Finish("stop"))
    y = {"token": "y", "logprob": -9999.0, "bytes": [121], "top_logprobs": []}
    assert body["choices"][0]["logprobs"] == {"content": [*SCORED, y], "refusal": None}


def test_body_of_several_answers_has_a_choice_each_and_one_usage() -> None:
    body = reply(
        OtherChoice(1, TextDelta("No")),
        TextDelta("Yes"),
        OtherChoice(2, ToolCallStart(0, "c", "patch")),
        OtherChoice(2, ToolCallDelta(0, '{"input":"x"}')),
        OtherChoice(2, Finish("tool_calls")),
        OtherChoice(1, Finish("length", Usage(1, 1))),
        Finish("stop", USAGE),
    )
    told = [(each["index"], each["message"]["content"], each["finish_reason"]) for each in body["choices"]]
    assert told == [(0, "Yes", "stop"), (1, "No", "length"), (2, None, "tool_calls")]
    assert body["choices"][2]["message"]["tool_calls"][0]["custom"] == {"name": "patch", "input": "x"}
    assert body["usage"]["total_tokens"] == 29


def test_body_for_a_client_of_functions_has_one_function_call() -> None:
    body = reply(*CALL, Finish("tool_calls"), meta=OLDER)
    message = body["choices"][0]["message"]
    assert message["function_call"] == {"name": "look", "arguments": '{"at":"sky"}'}
    assert "tool_calls" not in message
    assert (message["content"], body["choices"][0]["finish_reason"]) == (None, "function_call")


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_other_ends_are_the_same_for_a_client_of_functions(reason: FinishReason) -> None:
    assert reply(TextDelta("x"), Finish(reason), meta=OLDER) == reply(TextDelta("x"), Finish(reason))


# Errors.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("no"), "invalid_request_error"),
        (ModelNotFound("no"), "invalid_request_error"),
        *((UpstreamRefusal("no", status=status), "invalid_request_error") for status in (400, 401, 403, 413)),
        (UpstreamRefusal("no", status=429), "rate_limit_exceeded"),
        (PoolUnavailable("no", status=429), "rate_limit_exceeded"),
        (PoolUnavailable("no", status=503), "server_error"),
        *((UpstreamRefusal("no", status=status), "server_error") for status in (500, 502, 503, 504, 529)),
        (GatewayError("no"), "server_error"),
    ],
)
def test_type_of_an_error_follows_its_status(error: GatewayError, kind: str) -> None:
    assert encode_error(error)["error"]["type"] == kind


def test_error_names_field_and_code() -> None:
    assert encode_error(BadRequest("model is missing", param="model", code="missing_required_parameter")) == {
        "error": {
            "message": "model is missing",
            "type": "invalid_request_error",
            "param": "model",
            "code": "missing_required_parameter",
        }
    }


@pytest.mark.parametrize("error", [ValueError("/etc/secret: key AIza123"), KeyError("token"), Exception()])
def test_error_that_is_not_ours_hides_its_words(error: Exception) -> None:
    encoded = encode_error(error)
    assert encoded == {
        "error": {
            "message": "agproxy failed; its log says why",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    assert b"secret" not in encode_failure(error)

"""Responses answers, whole and streamed alike: items, usage, ends, and what is echoed of the request."""

import json
from dataclasses import replace
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
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.fold import fold
from agproxy.protocols import openai_responses
from agproxy.protocols.seals import seal, unseal
from tests.protocols.answers import CALL, SIGNED, USAGE
from tests.protocols.response_answers import LOOK, META, SEALING, Json, alike, asking, of_a_namespace, reply

SKY = {"type": "function_call", "status": "completed", "call_id": "call_1", "name": "look", "arguments": '{"at":"sky"}'}
H = TokenLogprob("H", -0.5, (TokenLogprob("H", -0.5), TokenLogprob("J", -2.0)))
E = TokenLogprob("é", -1.0)
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


def call(index: int, name: str, arguments: str = "{}", signature: Json = None) -> list[Event]:
    return [ToolCallStart(index, f"call_{index}", name, signature), ToolCallDelta(index, arguments)]


def output(*events: Event, end: FinishReason = "stop", meta: Json = META) -> list[Json]:
    """The items of an answer, without their ids."""
    items: list[Json] = alike(*events, Finish(end), meta=meta)["output"]
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


def kinds(*events: Event, meta: Json = META) -> list[str]:
    return [item["type"] for item in output(*events, meta=meta)]


def message(*parts: Json, status: str = "completed", **others: Json) -> Json:
    return {"type": "message", "status": status, "role": "assistant", "content": list(parts), **others}


def said(text: str, *annotations: Json, logprobs: Json = ()) -> Json:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def thought(text: str) -> Json:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def page(start: int, end: int, url: str = "https://a.co/", title: str = "Sky") -> Json:
    return {"type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end}


# The response.


def test_response_of_a_text() -> None:
    assert alike(TextDelta("Hel"), TextDelta("lo"), Finish("stop", USAGE), meta=asking()) == {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "gpt-5.5",
        "output": [
            {
                "type": "message",
                "id": "msg_1_0",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 29,
        },
    }


@pytest.mark.parametrize("usage", [Usage(), USAGE, Usage(5, 0, 5, 0), Usage(0, 7, 0, 7)])
def test_usage_adds_up(usage: Usage) -> None:
    told = alike(TextDelta("x"), Finish("stop", usage))["usage"]
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
    assert told["input_tokens_details"]["cached_tokens"] <= told["input_tokens"]
    assert told["output_tokens_details"]["reasoning_tokens"] <= told["output_tokens"]


ENDS: dict[FinishReason, tuple[str, Json]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", {"reason": "max_output_tokens"}),
    "content_filter": ("incomplete", {"reason": "content_filter"}),
}


@pytest.mark.parametrize("reason", get_args(FinishReason))
def test_status_tells_the_end(reason: FinishReason) -> None:
    response = alike(TextDelta("x"), Finish(reason))
    assert (response["status"], response["incomplete_details"]) == ENDS[reason]
    assert response["output"][0]["status"] == response["status"]


def test_fields_of_the_request_are_given_back() -> None:
    fields: Json = {
        "instructions": "Be kind.",
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "key",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "me",
        "store": False,
        "temperature": 0.5,
        "tool_choice": "required",
        "tools": [LOOK],
        "top_logprobs": 3,
        "top_p": 0.25,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "user": "bob",
        "text": {"format": {"type": "json_object"}},
    }
    response = alike(TextDelta("x"), Finish("stop"), meta=asking(**fields))
    assert {name: response[name] for name in fields} == fields
    assert response["model"] == "gpt-5.5"


def test_answer_without_anything_has_no_items() -> None:
    assert output(TextDelta(""), ReasoningDelta("")) == []


def test_ids_of_items_tell_of_which_response_they_are() -> None:
    events: list[Event] = [ReasoningDelta("Hm"), TextDelta("a"), *call(0, "look"), *call(1, "patch")]
    others: list[Event] = [ImageDelta("image/png", "QQ=="), Searched(("q",), ())]
    response = alike(*events, *others, Finish("stop"))
    assert [item["id"] for item in response["output"]] == [
        *("rs_1_0", "msg_1_1", "fc_1_2", "ctc_1_3", "ig_1_4", "ws_1_5"),
    ]


# Texts and thoughts.


def test_text_is_one_message_unless_something_stands_in_between() -> None:
    assert output(TextDelta("a"), TextDelta("b"), ReasoningDelta(""), TextDelta("c")) == [message(said("abc"))]
    assert kinds(TextDelta("a"), *call(0, "look"), TextDelta("b")) == ["message", "function_call", "message"]
    assert kinds(TextDelta("a"), ImageDelta("image/png", "QQ=="), TextDelta("b")) == [
        *("message", "image_generation_call", "message"),
    ]


def test_thoughts_stand_where_they_came() -> None:
    events: list[Event] = [ReasoningDelta("H"), ReasoningDelta("m"), TextDelta("Yes"), ReasoningDelta("Or"), *CALL]
    assert output(*events) == [thought("Hm"), message(said("Yes")), thought("Or"), SKY]
    assert kinds(TextDelta("a"), ReasoningDelta("b"), TextDelta("c")) == ["message", "reasoning", "message"]


def test_signature_of_a_text_stands_on_its_message() -> None:
    assert output(TextDelta("Yes", SIGNED), TextDelta(".")) == [message(said("Yes."), extra_content=SIGNED)]
    assert output(TextDelta("Yes"), TextDelta("", SIGNED)) == [message(said("Yes"), extra_content=SIGNED)]


def test_signature_that_comes_while_no_text_is_open_waits_for_the_next() -> None:
    assert output(TextDelta("", SIGNED), TextDelta("Yes")) == [message(said("Yes"), extra_content=SIGNED)]
    first, _, second = output(TextDelta("a"), *call(0, "look"), TextDelta("", SIGNED), TextDelta("b"))
    assert (first, second) == (message(said("a")), message(said("b"), extra_content=SIGNED))
    assert output(TextDelta("a"), *CALL, TextDelta("", SIGNED)) == [message(said("a")), SKY]
    newer = {"google": {"thought_signature": "REVG"}}
    assert output(TextDelta("", SIGNED), TextDelta("Yes", newer))[0]["extra_content"] == newer


def test_log_probabilities_stand_beside_their_text() -> None:
    y = TokenLogprob("y", -9999.0)
    told = {"token": "y", "logprob": -9999.0, "bytes": [121], "top_logprobs": []}
    assert output(TextDelta("Hé", logprobs=(H, E)), TextDelta("y", logprobs=(y,))) == [
        message(said("Héy", logprobs=[*SCORED, told]))
    ]


def test_log_probabilities_may_come_before_or_after_their_text() -> None:
    assert output(TextDelta("Hé"), TextDelta("", logprobs=(H, E))) == [message(said("Hé", logprobs=SCORED))]
    assert output(TextDelta("", SIGNED, logprobs=(H,)), TextDelta("", logprobs=(E,)), TextDelta("Hé")) == [
        message(said("Hé", logprobs=SCORED), extra_content=SIGNED)
    ]


def test_log_probabilities_of_a_call_are_not_those_of_the_text_before_it() -> None:
    assert output(TextDelta("Hé", logprobs=(H, E)), *CALL, TextDelta("", logprobs=(H,)))[0] == (
        message(said("Hé", logprobs=SCORED))
    )


def test_refusal_is_a_message_or_stands_after_its_text() -> None:
    refusal = {"type": "refusal", "refusal": "Gemini refused the prompt (SAFETY)."}
    end = Finish("content_filter", refusal=refusal["refusal"])
    response = alike(end)
    assert response["output"] == [{"id": "msg_1_0", **message(refusal, status="incomplete")}]
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert alike(TextDelta("Well"), end)["output"][0]["content"] == [said("Well"), refusal]
    first, second = alike(*CALL, end)["output"]
    assert (first["status"], second["content"], second["status"]) == ("completed", [refusal], "incomplete")


# Calls.


def test_arguments_of_a_call_are_text() -> None:
    assert output(*CALL) == [SKY]


def test_call_without_arguments_has_an_empty_object() -> None:
    (item,) = output(ToolCallStart(0, "c", "look"))
    assert item["arguments"] == "{}"


def test_parallel_calls_are_items_in_their_order_however_their_arguments_come() -> None:
    events: list[Event] = [
        ToolCallStart(0, "a", "look"),
        ToolCallDelta(0, '{"x"'),
        ToolCallStart(1, "b", "look"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, ":1}"),
    ]
    assert [(item["call_id"], item["arguments"]) for item in output(*events)] == [("a", '{"x":1}'), ("b", "{}")]


def test_identical_parallel_calls_are_both_there() -> None:
    items = output(*call(0, "look", '{"at":"x"}'), *call(1, "look", '{"at":"x"}'))
    assert [(item["call_id"], item["arguments"]) for item in items] == [
        *(("call_0", '{"at":"x"}'), ("call_1", '{"at":"x"}')),
    ]


def test_call_of_a_custom_tool_has_plain_text() -> None:
    assert output(*call(0, "patch", '{"input":"*** \\"Begin\\"\\n"}')) == [
        {
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "call_0",
            "name": "patch",
            "input": '*** "Begin"\n',
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"x"}', "x"), ("{}", ""), ("", ""), ('{"input":{"a":1}}', '{"a": 1}'), ('{"patch":"x"}', "x")],
)
def test_input_of_a_custom_tool_is_text_whatever_the_model_wrote(arguments: str, text: str) -> None:
    assert output(*call(0, "patch", arguments))[0]["input"] == text


def test_tools_of_a_namespace_get_their_own_names_back() -> None:
    function, custom, plain = output(
        *call(0, "clock__now"), *call(1, "clock__set", '{"input":"noon"}'), *call(2, "look")
    )
    assert (function["type"], function["namespace"], function["name"]) == ("function_call", "clock", "now")
    assert (custom["type"], custom["namespace"], custom["name"]) == ("custom_tool_call", "clock", "set")
    assert (custom["input"], "namespace" in plain) == ("noon", False)
    (renamed,) = output(*call(0, "now"), meta=of_a_namespace(META))
    assert (renamed["namespace"], renamed["name"]) == ("clock", "now")


def test_signature_of_a_call_goes_in_front_of_it_for_clients_that_want_it() -> None:
    reasoning, called = output(*CALL, meta=SEALING)
    assert (reasoning["summary"], unseal(reasoning["encrypted_content"])) == ([], {"call_1": SIGNED})
    assert called == SKY


def test_signature_of_a_call_is_that_of_the_thoughts_that_led_to_it() -> None:
    reasoning, called = output(ReasoningDelta("Hm"), *CALL, meta=SEALING)
    assert reasoning == {**thought("Hm"), "encrypted_content": reasoning["encrypted_content"]}
    assert unseal(reasoning["encrypted_content"]) == {"call_1": SIGNED}
    assert called == SKY


def test_all_thoughts_are_sealed_for_clients_that_want_it() -> None:
    thoughts, text, reasoning, called = output(ReasoningDelta("Hm"), TextDelta("a"), *CALL, meta=SEALING)
    assert thoughts == {**thought("Hm"), "encrypted_content": seal({})}
    assert reasoning == {"type": "reasoning", "summary": [], "encrypted_content": seal({"call_1": SIGNED})}
    assert (text, called) == (message(said("a")), SKY)


def test_each_signed_call_has_its_own_signature() -> None:
    other = {"google": {"thought_signature": "REVG"}}
    items = output(*call(0, "look", signature=SIGNED), *call(1, "look"), *call(2, "patch", "{}", other), meta=SEALING)
    assert [item["type"] for item in items] == [
        *("reasoning", "function_call", "function_call", "reasoning", "custom_tool_call"),
    ]
    assert unseal(items[0]["encrypted_content"]) == {"call_0": SIGNED}
    assert unseal(items[3]["encrypted_content"]) == {"call_2": other}


def test_signature_of_a_call_is_left_out_unless_asked_for() -> None:
    assert output(ReasoningDelta("Hm"), *CALL) == [thought("Hm"), SKY]


# Images, searches, citations.


def test_images_are_calls_with_their_result() -> None:
    first, second = output(ImageDelta("image/png", "QQ=="), ImageDelta("image/jpeg", "Qg==", SIGNED))
    made = {"type": "image_generation_call", "status": "completed"}
    assert first == {**made, "result": "QQ==", "output_format": "png"}
    assert second == {**made, "result": "Qg==", "output_format": "jpeg", "extra_content": SIGNED}


def test_searches_come_last_and_tell_their_pages_if_asked_for() -> None:
    search = Searched(("sky", "rain"), ("https://a.co/", "https://b.co/"))
    action = {"type": "search", "query": "sky; rain", "queries": ["sky", "rain"]}
    call = {"type": "web_search_call", "status": "completed"}
    assert output(search, TextDelta("Rain.")) == [message(said("Rain.")), {**call, "action": action}]
    sources = [{"type": "url", "url": "https://a.co/"}, {"type": "url", "url": "https://b.co/"}]
    assert output(TextDelta("Rain."), search, meta=SEALING)[1] == {**call, "action": {**action, "sources": sources}}


def test_citations_count_characters_of_their_message() -> None:
    cited = [Citation("https://a.co/", "Sky", 0, 4), Citation("https://b.co/", "b.co", 5, 5)]
    assert output(TextDelta("Rain🌧"), *cited) == [
        message(said("Rain🌧", page(0, 4), page(5, 5, "https://b.co/", "b.co")))
    ]


def test_citations_stand_in_the_message_in_which_they_begin() -> None:
    cited = [Citation("https://a.co/", "Sky", *place) for place in ((0, 1), (1, 5), (3, 4), (9, 12))]
    first, _, second = output(TextDelta("abc"), *call(0, "look"), TextDelta("defg"), *cited)
    assert first["content"] == [said("abc", page(0, 1), page(1, 3))]
    assert second["content"] == [said("defg", page(0, 1), page(4, 4))]


def test_citations_behind_the_text_stand_at_the_end_of_its_last_message() -> None:
    (first, _) = output(TextDelta("abc"), *call(0, "look"), Citation("https://a.co/", "Sky", 9, 12))
    assert first["content"] == [said("abc", page(3, 3))]


def test_citations_that_come_early_stand_in_the_message_in_which_they_begin() -> None:
    late, early = Citation("https://a.co/", "Sky", 3, 4), Citation("https://a.co/", "Sky", 1, 2)
    first, _, second = output(TextDelta("abc"), late, early, *call(0, "look"), TextDelta("defg"))
    assert first["content"] == [said("abc", page(1, 2))]
    assert second["content"] == [said("defg", page(0, 1))]


def test_citations_without_a_text_are_left_out() -> None:
    assert kinds(Citation("https://a.co/", "Sky", 0, 4), *CALL) == ["function_call"]
    (refused,) = alike(Citation("https://a.co/", "Sky", 0, 4), Finish("content_filter", refusal="No."))["output"]
    assert refused["content"] == [{"type": "refusal", "refusal": "No."}]


# Answers that are cut short.


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_only_the_last_item_of_an_answer_that_was_cut_short_is_incomplete(reason: FinishReason) -> None:
    items = output(TextDelta("a"), *call(0, "look"), TextDelta("b"), end=reason)
    assert [item["status"] for item in items] == ["completed", "completed", "incomplete"]
    items = output(TextDelta("a"), *call(0, "look", '{"a'), end=reason)
    assert [item["status"] for item in items] == ["completed", "incomplete"]
    assert items[1]["arguments"] == '{"a'


def test_cut_input_of_a_custom_tool_is_given_as_it_came() -> None:
    (item,) = output(*call(0, "patch", '{"input":"*** Be'), end="length")
    assert (item["status"], item["input"]) == ("incomplete", '{"input":"*** Be')


def test_item_that_was_cut_short_stays_the_last() -> None:
    items = output(TextDelta("a"), Searched(("q",), ()), end="length")
    assert [item["status"] for item in items] == ["completed", "completed"]


# Beside the response.


def test_other_answers_are_left_out() -> None:
    events: list[Event] = [TextDelta("a"), OtherChoice(1, TextDelta("b")), OtherChoice(1, Finish("stop"))]
    assert alike(*events, Finish("stop", USAGE)) == alike(TextDelta("a"), Finish("stop", USAGE))
    body = openai_responses.encode_reply(fold([*events, Finish("stop")]), META)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["a"]


def test_response_is_shown_before_it_goes_out_and_what_that_adds_goes_out() -> None:
    seen: list[Json] = []

    def conclude(response: Json) -> None:
        seen.append(json.loads(json.dumps(response)))
        response["completed_at"] = 7

    told = reply(*CALL, Finish("tool_calls", USAGE), meta=replace(META, conclude=conclude))
    assert seen == [{**told, "completed_at": None}]
    assert told["completed_at"] == 7

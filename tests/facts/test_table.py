"""The checklist: which test proves that agproxy gets a fact of the wires right on the way of OpenAI's protocols.

The facts are numbered, F1 to F53; beside them are the rows of finish reasons and the defects seen in other gateways. A
fact without a test, and a test that is gone or has another name, fails here. The tests beside this one ask the whole
application; the others named are those of the modules, and of real clients.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

_REQUESTS, _HISTORY, _ANSWERS = (f"facts/test_{part}.py" for part in ("requests", "history", "answers"))
_ENDINGS = "facts/test_endings.py"
_RESPONSES, _RESPONSES_ENDINGS = "facts/test_responses.py", "facts/test_responses_endings.py"
_OF_FACTS = (_REQUESTS, _HISTORY, _ANSWERS, _ENDINGS, _RESPONSES, _RESPONSES_ENDINGS)
_SETTINGS, _TOOLS = f"{_REQUESTS}::TestSettings::test_", f"{_REQUESTS}::TestTools::test_"
_CALLS, _SIGNATURES = f"{_HISTORY}::TestCallsAndResults::test_", f"{_HISTORY}::TestSignatures::test_"
_FINISH, _EMPTY = f"{_ANSWERS}::TestFinishReasons::test_", f"{_ANSWERS}::TestEmptyAnswers::test_"
_USAGE, _SHAPE = f"{_ANSWERS}::TestUsage::test_", f"{_ANSWERS}::TestStreamShape::test_"
_DEFECTS = f"{_ANSWERS}::TestDefectsOfOthers::test_"
_ORDER, _STEPS = f"{_RESPONSES}::TestOrder::test_", f"{_RESPONSES}::TestCalls::test_"
_SUMMARIES, _ENDS = f"{_RESPONSES}::TestReasoning::test_", f"{_RESPONSES}::TestEnds::test_"
_CODEX, _LIMITS = f"{_RESPONSES}::TestCodex::test_", f"{_RESPONSES_ENDINGS}::TestLimits::test_"
_STATUS = f"{_RESPONSES_ENDINGS}::TestFinishReasons::test_"
_RESPONSES_USAGE = f"{_RESPONSES_ENDINGS}::test_usage_adds_up"
_COMPLIANCE = "e2e/test_open_responses.py::test_"
_STRICT_READER = "test_responses_stream.py::test_"
_RECORDED_CHAT = "upstreams/test_gemini_request.py::test_recorded_conversation"
_RECORDED_ANSWER = "upstreams/test_gemini_reply.py::test_recorded_answer"
_REWRITTEN = "test_schema.py::test_schema_is_rewritten"
_WIRE_SETTINGS = "upstreams/test_gemini_settings.py::"
_THINKING = "upstreams/test_gemini_thinking.py::test_"
_CHAT_STREAM = "protocols/test_openai_chat_stream.py::test_"
_HEARD, _ASKED = "e2e/test_rivals_answers.py::test_", "e2e/test_rivals_requests.py::test_"
_WIRED, _FAILED = "e2e/test_rivals_wire.py::test_", "test_rivals_failures.py::test_"

FACTS: dict[str, tuple[str, ...]] = {
    # 1 Gemini request
    "F1": (
        f"{_SETTINGS}roles_are_user_and_model_and_instructions_are_text",
        f"{_SETTINGS}picture_in_an_instruction_is_refused",
        f"{_RECORDED_CHAT}[roles]",
    ),
    "F2": (
        f"{_SETTINGS}stop_sequences_are_five_at_most_and_none_is_empty",
        f"{_SETTINGS}sixth_stop_sequence_is_refused_clearly",
    ),
    "F3": (
        f"{_SETTINGS}alternatives_of_tokens_go_with_response_logprobs",
        f"{_WIRE_SETTINGS}TestSampling::test_what_was_refused_is_left_out_and_listed",
    ),
    "F4": (
        f"{_SETTINGS}effort_never_brings_what_the_model_refuses",
        f"{_THINKING}thoughts_of_a_model_without_are_listed_as_ignored",
    ),
    "F5": (
        f"{_SETTINGS}effort_never_brings_what_the_model_refuses",
        f"{_SETTINGS}level_and_budget_are_never_sent_together",
    ),
    "F6": (
        f"{_SETTINGS}effort_never_brings_what_the_model_refuses",
        f"{_THINKING}budget_is_kept_within_what_the_family_takes",
        f"{_THINKING}nothing_comes_out_that_google_would_refuse",
        "test_gateway_memory.py::TestSettingRepair::test_what_depends_on_the_request_is_tried_again_next_time",
    ),
    "F7": (
        f"{_SETTINGS}effort_never_brings_what_the_model_refuses",
        f"{_SETTINGS}level_and_budget_are_never_sent_together",
        f"{_THINKING}effort_becomes_the_nearest_that_the_family_knows",
        "protocols/test_openai_chat_request.py::test_reasoning_effort",
        "protocols/test_openai_chat_request.py::test_googles_own_words_count_more_than_reasoning_effort",
    ),
    "F8": (
        f"{_SETTINGS}googles_extension_object",
        "protocols/test_openai_chat_request.py::test_googles_options_are_kept_for_google",
        f"{_WIRE_SETTINGS}test_cached_content_is_passed_on",
    ),
    "F9": (
        f"{_SETTINGS}thoughts_are_asked_for_with_the_effort_and_kept_apart",
        f"{_THINKING}effort_becomes_the_nearest_that_the_family_knows",
        f"{_ENDINGS}::test_draft_among_the_thoughts_is_no_picture_of_the_answer",
    ),
    "F10": (
        f"{_SETTINGS}each_part_holds_one_kind_of_thing",
        "upstreams/test_gemini_request.py::TestFiles::test_by_address",
        "upstreams/test_gemini_request.py::TestFiles::test_held_inline",
    ),
    "F11": (
        f"{_SETTINGS}googles_extension_object",
        f"{_WIRE_SETTINGS}TestSafety::test_a_category_that_stands_twice_is_sent_once",
    ),
    "F12": (
        f"{_SETTINGS}only_streams_ask_for_server_sent_events",
        f"{_RECORDED_ANSWER}[text.sse]",
        f"{_RECORDED_ANSWER}[done_mark_after_finish.sse]",
    ),
    # 2 Tool declarations and schemas
    "F13": (f"{_TOOLS}any_name_goes_and_comes_back", f"{_RECORDED_CHAT}[names]"),
    "F14": (f"{_TOOLS}missing_description_is_supplied",),
    "F15": (
        f"{_TOOLS}keywords_that_gemini_does_not_know_are_not_sent",
        f"{_REWRITTEN}[unknown_keywords]",
        "test_schema.py::test_real_tool_is_acceptable_after_cleaning",
    ),
    "F16": (
        f"{_TOOLS}keywords_that_gemini_does_not_know_are_not_sent",
        f"{_TOOLS}cycle_of_references_ends",
        "test_schema_refs.py::test_recursion_is_expanded_once_and_then_open",
        "test_gateway_memory.py::TestSchemaRepair::test_refused_keyword_is_left_out",
    ),
    "F17": (f"{_TOOLS}enum_has_a_type_and_values_that_fit_it", f"{_REWRITTEN}[enum_of_mixed_types]"),
    "F18": (f"{_TOOLS}malformed_schemas_of_tool_servers_are_normalised", f"{_REWRITTEN}[boolean_schemas]"),
    "F19": (
        f"{_TOOLS}arguments_named_like_keywords_are_left_alone",
        "test_schema.py::test_refused_keyword_is_left_out_of_schema_nodes_only",
    ),
    "F20": (f"{_SETTINGS}schema_of_an_answer_goes_with_its_type_and_in_one_field",),
    "F21": ("upstreams/test_gemini_request.py::test_tool_choice", "protocols/test_openai_tools.py::test_tool_choice"),
    "F22": (f"{_TOOLS}one_call_at_a_time_is_all_the_client_and_the_history_see",),
    "F23": (f"{_TOOLS}functions_are_kept_and_search_goes",),
    # 3 Tool calls, results, turns
    "F24": (f"{_CALLS}results_are_objects_with_the_name_and_id_of_their_call", f"{_RECORDED_CHAT}[arguments]"),
    "F25": (
        f"{_CALLS}results_are_objects_with_the_name_and_id_of_their_call",
        f"{_CALLS}each_call_has_an_id_of_its_own",
        f"{_RECORDED_CHAT}[one_id_twice]",
    ),
    "F26": (f"{_CALLS}all_calls_of_a_turn_come_before_all_results", f"{_RECORDED_CHAT}[parallel_calls]"),
    "F27": (
        f"{_CALLS}missing_result_is_an_error_and_an_orphan_is_text",
        f"{_CALLS}last_turn_of_unanswered_calls_goes",
        f"{_RECORDED_CHAT}[last_calls_unanswered]",
    ),
    "F28": (f"{_CALLS}result_is_one_string_whatever_it_holds",),
    "F29": (f"{_CALLS}picture_of_a_result_stands_beside_it",),
    # 4 Thought signatures
    "F30": (
        f"{_SIGNATURES}signature_of_a_text_returns_on_that_text",
        f"{_SIGNATURES}signatures_of_text_and_call_stay_apart",
        f"{_RECORDED_ANSWER}[signed_thought.sse]",
        f"{_ENDINGS}::test_signature_of_a_picture_goes_out_and_comes_back_with_it",
    ),
    "F31": (
        f"{_SIGNATURES}just_those_calls_are_signed_that_were",
        f"{_SIGNATURES}lost_ones_are_made_up_where_they_are_demanded_and_nowhere_else",
    ),
    "F32": (
        f"{_ENDINGS}::test_unsigned_picture_gets_the_dummy_once_the_model_has_missed_one",
        f"{_SIGNATURES}lost_ones_are_made_up_where_they_are_demanded_and_nowhere_else",
        f"{_SIGNATURES}a_real_one_on_a_later_call_does_not_spare_the_first",
        f"{_SIGNATURES}refusal_in_any_words_is_answered_with_the_dummy",
        f"{_SIGNATURES}conversation_that_changes_its_project_goes_on",
    ),
    "F33": (
        f"{_SIGNATURES}just_those_calls_are_signed_that_were",
        f"{_SIGNATURES}signature_of_a_text_returns_on_that_text",
        "store/contract.py::Contract::test_value_is_gone_when_its_time_is_over",
        "test_gateway_memory.py::TestSignatures::test_are_kept_for_a_day",
    ),
    "F34": (f"{_SIGNATURES}foreign_signature_is_dropped",),
    # 5 Response: finish reasons
    "F35": (f"{_FINISH}after_a_call", f"{_FINISH}after_text"),
    "F36": (f"{_ANSWERS}::TestBlockedPrompt::test_is_a_refusal_and_no_empty_success",),
    "F37": (
        f"{_ENDINGS}::test_drafts_alone_are_an_empty_answer",
        f"{_EMPTY}whole_one_is_asked_for_once_more",
        f"{_EMPTY}streamed_one_is_asked_for_once_more_while_nothing_was_forwarded",
        f"{_EMPTY}thoughts_that_were_forwarded_are_not_followed_by_another_answer",
        f"{_EMPTY}limit_used_up_by_thinking_says_so",
        f"{_EMPTY}limit_used_up_by_forwarded_thoughts_says_so_in_the_stream",
        f"{_EMPTY}stream_without_a_finish_reason_is_no_success",
    ),
    "F38": (
        f"{_ANSWERS}::test_finish_message_of_a_failed_attempt_is_in_the_log",
        f"{_ENDINGS}::test_end_out_of_the_ordinary_is_in_the_log",
        f"{_ENDINGS}::test_ordinary_end_is_not_in_the_log",
    ),
    # 6 Usage
    "F39": (f"{_USAGE}adds_up", _RESPONSES_USAGE),
    "F40": (f"{_USAGE}adds_up", "upstreams/test_gemini_reply.py::test_usage_adds_up", _RESPONSES_USAGE),
    "F41": (f"{_USAGE}adds_up",),
    "F42": (f"{_USAGE}adds_up", f"{_USAGE}of_a_stream_is_that_of_its_last_chunk", _RESPONSES_USAGE),
    # 7 OpenAI streaming
    "F43": (
        f"{_SHAPE}all_chunks_belong_to_one_answer_of_now",
        f"{_SHAPE}role_comes_first_and_the_end_alone",
        f"{_SHAPE}calls_are_numbered_and_begin_with_id_and_name",
        f"{_SHAPE}usage_comes_in_a_last_chunk_without_choices_when_asked_for",
        f"{_CHAT_STREAM}stream_of_a_text_byte_for_byte",
    ),
    "F44": (
        f"{_ANSWERS}::test_failure_in_the_middle_is_an_error_object_and_the_end",
        f"{_CHAT_STREAM}failure_in_the_middle_is_an_error_and_the_end",
    ),
    "F45": (
        f"{_CHAT_STREAM}ping_is_a_comment_that_clients_skip",
        "test_relay.py::TestSilence::test_gets_pings_until_events_go_on",
        "e2e/test_streams.py::test_pings_fill_upstreams_silence",
    ),
    "F46": (
        f"{_ANSWERS}::test_bytes_of_grounding_become_characters",
        "upstreams/test_gemini_grounding.py::test_bytes_become_characters",
    ),
    # 8 Responses
    "F47": (
        f"{_ORDER}of_a_text",
        f"{_ORDER}items_follow_one_another_as_the_model_makes_them",
        f"{_ORDER}streams_and_bodies_tell_the_same",
        f"{_STRICT_READER}no_event_can_be_left_out",
        f"{_STRICT_READER}no_two_events_can_change_places",
        f"{_STRICT_READER}numbers_have_no_gap",
        "e2e/test_conversation.py::test_conversation",
    ),
    "F48": (f"{_STEPS}four_steps", f"{_STEPS}equal_calls_are_two", f"{_COMPLIANCE}tool_calling_streaming"),
    "F49": (
        f"{_SUMMARIES}summary_is_streamed_before_what_it_led_to",
        f"{_SUMMARIES}encrypted_content_carries_the_signatures_of_calls",
        f"{_SUMMARIES}foreign_encrypted_content_is_dropped",
    ),
    "F50": (
        f"{_ENDS}done_is_the_last_line",
        f"{_ENDS}an_item_has_all_its_fields_from_the_start",
        f"{_ENDS}an_item_that_was_cut_short_is_the_last",
        f"{_ENDS}failure_is_an_error_and_a_response_that_failed",
    ),
    "F51": (
        f"{_CODEX}what_it_sends_is_understood",
        f"{_CODEX}custom_tools_get_and_give_plain_text",
        f"{_CODEX}namespaces_are_told_apart",
        f"{_CODEX}tools_may_stand_in_the_input",
        f"{_CODEX}instructions_come_first",
    ),
    "F52": tuple(
        _COMPLIANCE + case
        for case in (
            *("basic_response", "assistant_phase", "response_output_phase_schema", "streaming_response"),
            *("system_prompt", "tool_calling", "image_input", "multi_turn", "compact_response"),
            *("compact_missing_model", "tool_calling_streaming", "function_call_roundtrip", "file_input"),
            *("previous_response_id", "websocket_is_refused_at_once", "websocket_response"),
            *("websocket_sequential_responses", "websocket_continuation"),
            *("websocket_reconnect_store_false_recovery", "websocket_previous_response_not_found"),
            *("websocket_failed_continuation_evicts_cache", "websocket_compact_new_chain"),
        )
    ),
    "F53": (
        f"{_LIMITS}allowed_tools_bind",
        f"{_LIMITS}no_allowed_tool_that_can_be_called_is_none",
        f"{_LIMITS}too_long_an_input_fails_and_is_not_cut",
        f"{_LIMITS}truncation_is_not_promised",
        f"{_LIMITS}types_of_errors",
    ),
}

# What of a fact is not for these protocols, or not for us to do, so that no test above asks for it.
NOT_OURS = {
    "F12": "the native stream that agproxy is to send itself comes with the native Gemini routes",
    "F15": "nothing is sent as `parameters`; agproxy uses `parametersJsonSchema` (F16) alone",
    "F34": "a signature with a prefix of ours is for Anthropic's thinking blocks; Chat Completions has none",
    "F41": "Anthropic's counts come with its route; `Usage` keeps the cached tokens apart for it",
    "F50": "the `error` event is flat and nested at once: the SDKs raise its words only where it is nested",
    "F52": "the cases of a WebSocket are restated over HTTP, which agproxy speaks alone",
    "F53": "types of errors are OpenAI's words, which SDKs and Codex read, and not those of Open Responses",
}

# The rows of the table in section 5, by their first reason.
FINISH_REASONS: dict[str, tuple[str, ...]] = {
    "STOP + any call": (f"{_FINISH}after_a_call", f"{_STATUS}after_a_call"),
    "STOP": (f"{_FINISH}after_text", f"{_STATUS}after_text"),
    "MAX_TOKENS": (
        f"{_FINISH}after_text",
        f"{_EMPTY}limit_used_up_by_thinking_says_so",
        f"{_STATUS}after_text",
        f"{_STATUS}limit_after_a_call",
    ),
    "SAFETY": (
        f"{_FINISH}after_text",
        f"{_FINISH}withheld_answer_is_a_refusal_and_no_failure",
        f"{_STATUS}after_text",
        f"{_STATUS}withheld_answer_is_a_refusal",
    ),
    "MALFORMED_FUNCTION_CALL": (
        f"{_FINISH}broken_call_is_asked_for_once_more",
        f"{_FINISH}nothing_twice_is_an_error_that_names_the_reason",
        f"{_FINISH}broken_call_after_forwarded_text_is_told_in_the_stream",
        f"{_STATUS}nothing_twice_is_an_error",
        f"{_STATUS}broken_call_after_forwarded_text_is_a_response_that_failed",
    ),
    "OTHER": (
        f"{_FINISH}after_text",
        f"{_FINISH}nothing_twice_is_an_error_that_names_the_reason",
        f"{_STATUS}after_text",
        f"{_STATUS}nothing_twice_is_an_error",
    ),
}

# "Defects seen in other gateways". Those of ``test_rivals_*`` are asked of each protocol.
DEFECTS: dict[int, tuple[str, ...]] = {
    1: (
        f"{_HEARD}1_13_all_texts_of_a_chunk_are_heard",
        f"{_HEARD}1_text_beside_a_call_in_one_chunk_is_heard",
        f"{_DEFECTS}1_13_all_parts_of_a_chunk_are_heard",
        f"{_RECORDED_ANSWER}[two_text_parts.sse]",
    ),
    2: (f"{_HEARD}2_12_reason_is_spelled_as_the_protocol_does", f"{_FINISH}after_text"),
    3: (f"{_ASKED}3_limit_and_stop_sequences_reach_gemini", f"{_ASKED}3_file_reaches_gemini"),
    4: (f"{_ASKED}4_real_signatures_go_back_and_no_dummy_does", "e2e/test_conversation.py::test_conversation"),
    5: (
        f"{_HEARD}5_equal_calls_are_two_calls",
        f"{_DEFECTS}5_equal_calls_are_two_calls",
        f"{_RECORDED_ANSWER}[parallel_calls.sse]",
    ),
    6: (f"{_HEARD}6_tags_in_ordinary_text_stay", f"{_DEFECTS}6_tags_in_ordinary_text_stay"),
    7: (
        f"{_ASKED}7_schema_is_taken_with_all_its_branches",
        "test_schema_meaning.py::test_arguments_that_were_valid_stay_valid",
        f"{_REWRITTEN}[several_types]",
    ),
    8: (f"{_HEARD}8_11_usage_adds_up", f"{_USAGE}adds_up"),
    9: (
        f"{_WIRED}9_head_and_a_sign_of_life_come_while_upstream_is_silent",
        f"{_DEFECTS}9_head_and_pings_come_while_upstream_is_silent",
        "test_relay.py::TestFirstEvent::test_that_stays_out_is_waited_for_no_longer_than_one_interval",
        "e2e/test_streams.py::test_pings_fill_upstreams_silence",
    ),
    10: (f"{_WIRED}10_unknown_path_is_json_and_404",),
    11: (
        f"{_ASKED}11_effort_is_told_as_the_model_knows_it",
        f"{_HEARD}8_11_usage_adds_up",
        f"{_SETTINGS}effort_never_brings_what_the_model_refuses",
        f"{_USAGE}adds_up",
    ),
    12: (
        f"{_HEARD}2_12_reason_is_spelled_as_the_protocol_does",
        f"{_HEARD}12_refusal_is_neither_a_call_nor_a_success",
        f"{_FINISH}after_text",
        f"{_FINISH}withheld_answer_is_a_refusal_and_no_failure",
    ),
    13: (
        f"{_HEARD}13_line_of_more_than_64_kb_passes",
        f"{_HEARD}13_answer_has_one_id_and_no_other_has_it",
        f"{_DEFECTS}1_13_all_parts_of_a_chunk_are_heard",
        f"{_DEFECTS}13_line_of_more_than_64_kb_passes",
        f"{_SHAPE}all_chunks_belong_to_one_answer_of_now",
    ),
    14: (
        f"{_ASKED}14_result_is_one_string_whatever_it_holds",
        f"{_WIRED}14_upstream_is_closed_when_the_client_leaves",
        f"{_CALLS}result_is_one_string_whatever_it_holds",
        "e2e/test_streams.py::test_upstream_is_closed_when_the_client_leaves",
        "test_transport.py::TestCancel::test_while_reading",
    ),
    15: (
        f"{_FAILED}15_fault_of_the_request_is_told_at_once_as_google_told_it",
        f"{_FAILED}15_last_real_cause_is_told",
        f"{_DEFECTS}15_first_failure_is_not_masked",
        "test_gateway.py::TestCredentials::test_the_last_cause_counts",
    ),
}

NAMED = {node for nodes in (*FACTS.values(), *FINISH_REASONS.values(), *DEFECTS.values()) for node in nodes}


@cache
def functions_in(file: str) -> dict[str, ast.FunctionDef]:
    """The tests of a file by name: ``test_name`` or ``TestClass::test_name``."""
    found = {}
    for node in ast.parse((TESTS / file).read_bytes()).body:
        holder, prefix = (node.body, f"{node.name}::") if isinstance(node, ast.ClassDef) else ([node], "")
        for each in holder:
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                found[prefix + each.name] = each
    return found


def cases_of(test: str) -> set[str]:
    """The cases that a test reads from ``tests/data``."""
    data = TESTS / "data"
    if test == _RECORDED_CHAT:
        return {path.stem for path in data.joinpath("conversations").glob("*.json")}
    if test == _RECORDED_ANSWER:
        return {path.name for path in data.joinpath("gemini").iterdir()}
    assert test == _REWRITTEN, f"{test} reads no cases"
    return {case["name"] for case in json.loads(data.joinpath("schema_rewrites.json").read_bytes())}


def test_each_fact_has_a_test() -> None:
    assert list(FACTS) == [f"F{number}" for number in range(1, 54)]
    assert all(FACTS.values())
    assert NOT_OURS.keys() <= FACTS.keys()


def test_each_row_of_the_finish_reasons_and_each_defect_has_a_test() -> None:
    assert len(FINISH_REASONS) == 6
    assert list(DEFECTS) == [*range(1, 16)]
    assert all([*FINISH_REASONS.values(), *DEFECTS.values()])


@pytest.mark.parametrize("node", sorted(NAMED))
def test_exists(node: str) -> None:
    test, bracket, case = node.partition("[")
    file, _, name = test.partition("::")
    assert name in functions_in(file)
    assert not bracket or case.removesuffix("]") in cases_of(test)


@pytest.mark.parametrize("file", _OF_FACTS)
def test_each_test_of_a_fact_is_named(file: str) -> None:
    assert {f"{file}::{name}" for name in functions_in(file)} <= NAMED


@pytest.mark.parametrize("file", _OF_FACTS)
def test_numbers_told_by_a_test_are_those_of_the_table(file: str) -> None:
    for name, function in functions_in(file).items():
        proves = {fact for fact, nodes in FACTS.items() if f"{file}::{name}" in nodes}
        assert set(re.findall(r"\bF\d+\b", ast.get_docstring(function) or "")) <= proves, name

"""Google's HTTP errors, in the shapes and words they come in."""

import json
from email.utils import formatdate
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from agproxy.errors import UpstreamRefusal, redact
from agproxy.upstreams.gemini_errors import Fault, decode_error, is_about_signature, refused_setting, schema_faults

RECORDED = Path(__file__).parents[1] / "data" / "gemini_errors"
NOW = 1_780_000_000.0

PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

# Of each recorded body: HTTP status, google.rpc status, and what the details say.
BODIES: dict[str, tuple[int, str | None, dict[str, Any]]] = {
    "quota_per_minute.json": (429, "RESOURCE_EXHAUSTED", {"quota_ids": (PER_MINUTE,), "retry_after_s": 34.07}),
    "quota_retry_in_ms.json": (429, "RESOURCE_EXHAUSTED", {"quota_ids": (PER_MINUTE,), "retry_after_s": 0.9}),
    "quota_long_delay.json": (429, "RESOURCE_EXHAUSTED", {"quota_ids": (PER_MINUTE,), "retry_after_s": 65205.0}),
    "quota_per_day.json": (429, "RESOURCE_EXHAUSTED", {"quota_ids": (PER_MINUTE, PER_DAY), "retry_after_s": 38.0}),
    "quota_zero.json": (
        429,
        "RESOURCE_EXHAUSTED",
        {"quota_ids": ("GenerateContentInputTokensPerModelPerMinute-FreeTier",), "retry_after_s": 12.0},
    ),
    "quota_limit_per_minute.json": (
        429,
        "RESOURCE_EXHAUSTED",
        {
            "error_reasons": ("RATE_LIMIT_EXCEEDED",),
            "quota_ids": (
                "GenerateContentRequestsPerMinutePerProjectPerRegion",
                "GenerateContent_request_limit_per_minute_for_a_region",
            ),
        },
    ),
    "quota_limit_per_day.json": (
        429,
        "RESOURCE_EXHAUSTED",
        {"error_reasons": ("RATE_LIMIT_EXCEEDED",), "quota_ids": ("GenerateRequestsPerDayPerProjectPerModel",)},
    ),
    "quota_limit_words_only.json": (
        429,
        "RESOURCE_EXHAUSTED",
        {"quota_ids": ("Gemini_2.5_Pro_Requests_per_day_per_user_per_tier",)},
    ),
    "quota_words_only.json": (429, "RESOURCE_EXHAUSTED", {"retry_after_s": 34.07}),
    "quota_words_of_hours.json": (429, "RESOURCE_EXHAUSTED", {"retry_after_s": pytest.approx(70_469.84)}),
    "quota_no_hint.json": (429, "RESOURCE_EXHAUSTED", {}),
    "quota_reset_delay.json": (
        429,
        "RESOURCE_EXHAUSTED",
        {"error_reasons": ("QUOTA_EXHAUSTED",), "retry_after_s": 7261.0},
    ),
    "quota_in_an_array.json": (429, "RESOURCE_EXHAUSTED", {"quota_ids": (PER_MINUTE,), "retry_after_s": 34.07}),
    "capacity_exhausted.json": (429, "RESOURCE_EXHAUSTED", {"error_reasons": ("MODEL_CAPACITY_EXHAUSTED",)}),
    "api_key_invalid.json": (400, "INVALID_ARGUMENT", {"error_reasons": ("API_KEY_INVALID",)}),
    "api_key_invalid_words_only.json": (400, "INVALID_ARGUMENT", {}),
    "api_key_expired.json": (400, "INVALID_ARGUMENT", {"error_reasons": ("API_KEY_INVALID",)}),
    "api_key_leaked.json": (403, "PERMISSION_DENIED", {}),
    "consumer_suspended.json": (403, "PERMISSION_DENIED", {"error_reasons": ("CONSUMER_SUSPENDED",)}),
    "service_disabled.json": (403, "PERMISSION_DENIED", {"error_reasons": ("SERVICE_DISABLED",)}),
    "unauthenticated.json": (401, "UNAUTHENTICATED", {"error_reasons": ("ACCESS_TOKEN_TYPE_UNSUPPORTED",)}),
    "file_forbidden.json": (403, "PERMISSION_DENIED", {}),
    "cached_content_forbidden.json": (403, "PERMISSION_DENIED", {}),
    "model_forbidden.json": (403, "PERMISSION_DENIED", {}),
    "location_not_supported.json": (400, "FAILED_PRECONDITION", {}),
    "model_not_found.json": (404, "NOT_FOUND", {}),
    "overloaded.json": (503, "UNAVAILABLE", {}),
    "internal.json": (500, "INTERNAL", {}),
    "turn_order.json": (400, "INVALID_ARGUMENT", {}),
    "signature_not_valid.json": (400, "INVALID_ARGUMENT", {}),
    "signature_corrupted.json": (400, "INVALID_ARGUMENT", {}),
    "signature_invalid_field.json": (400, "INVALID_ARGUMENT", {}),
    "signature_missing.json": (400, "INVALID_ARGUMENT", {}),
    "schema_unknown_name.json": (400, "INVALID_ARGUMENT", {}),
    "schema_unknown_name_nested.json": (400, "INVALID_ARGUMENT", {}),
    "schema_starred.json": (400, "INVALID_ARGUMENT", {}),
    "schema_starred_below_items.json": (400, "INVALID_ARGUMENT", {}),
    "schema_enum_empty.json": (400, "INVALID_ARGUMENT", {}),
    "schema_property_named_format.json": (400, "INVALID_ARGUMENT", {}),
    "unknown_name_elsewhere.json": (400, "INVALID_ARGUMENT", {}),
    "too_many_tokens.json": (400, "INVALID_ARGUMENT", {}),
    "bad_gateway.html": (502, None, {}),
}
SCHEMA_FAULTS: dict[str, Fault] = {
    "schema_unknown_name.json": (0, 2, "additionalProperties"),
    "schema_unknown_name_nested.json": (0, 0, "const"),
    "schema_starred.json": (0, 3, "format"),
    "schema_starred_below_items.json": (0, 0, "format"),
    "schema_enum_empty.json": (0, 1, "enum"),
}


def recorded(name: str) -> UpstreamRefusal:
    return decode_error(BODIES[name][0], {}, RECORDED.joinpath(name).read_bytes(), now=NOW)


def of(body: object, status: int = 400, **headers: str) -> UpstreamRefusal:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return decode_error(status, names, json.dumps(body).encode(), now=NOW)


def test_every_recorded_body_is_tested() -> None:
    assert {path.name for path in RECORDED.iterdir()} == set(BODIES)


@pytest.mark.parametrize("name", BODIES)
def test_recorded_body(name: str) -> None:
    status, reason, details = BODIES[name]
    error = recorded(name)
    assert (error.status, error.reason) == (status, reason)
    told = {"error_reasons": error.error_reasons, "quota_ids": error.quota_ids, "retry_after_s": error.retry_after_s}
    assert told == {"error_reasons": (), "quota_ids": (), "retry_after_s": None, **details}


@pytest.mark.parametrize("name", [name for name in BODIES if name.endswith(".json")])
def test_recorded_details_are_kept_without_keys(name: str) -> None:
    body = json.loads(RECORDED.joinpath(name).read_bytes())
    details = (body[0] if isinstance(body, list) else body)["error"].get("details", [])
    assert recorded(name).details == tuple(json.loads(redact(json.dumps(details))))


def test_details_are_kept_without_keys_and_as_objects_only() -> None:
    key = "AIza" + "k" * 35
    details = [{"a": f"api_key:{key}", key: [{"b": key}]}, None, "x", {"c": 1}]
    error = decode_error(400, {}, json.dumps({"error": {"message": "x", "details": details}}).encode(), now=NOW)
    assert error.details == ({"a": "api_key:[redacted]", "[redacted]": [{"b": "[redacted]"}]}, {"c": 1})


def test_details_beyond_all_measure_are_left_out() -> None:
    def kept(length: int) -> int:
        body = {"error": {"message": "x", "status": "INTERNAL", "details": [{"a": "x" * length}]}}
        error = decode_error(500, {}, json.dumps(body).encode(), now=NOW)
        assert (error.message, error.reason) == ("x", "INTERNAL")
        return len(error.details)

    assert (kept(16_000), kept(17_000)) == (1, 0)


@pytest.mark.parametrize("name", [name for name in BODIES if name.endswith(".json")])
def test_words_are_googles_own_without_keys(name: str) -> None:
    body = json.loads(RECORDED.joinpath(name).read_bytes())
    words = (body[0] if isinstance(body, list) else body)["error"]["message"]
    message = recorded(name).message
    assert message.replace("[redacted]", "") in words.replace("AIzaSyA1234567890abcdefghijklmnopqrstuv", "")
    assert "AIza" not in message


def test_echoed_key_is_redacted() -> None:
    assert recorded("consumer_suspended.json").message == (
        "Permission denied: Consumer 'api_key:[redacted]' has been suspended."
    )


@pytest.mark.parametrize("name", BODIES)
def test_is_about_signature(name: str) -> None:
    assert is_about_signature(recorded(name)) == name.startswith("signature_")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_only_a_400_is_about_a_signature_or_a_schema(status: int) -> None:
    error = UpstreamRefusal("Thought signature is not valid: function_declarations[0].format", status=status)
    assert not is_about_signature(error)
    assert schema_faults(error) == ()


@pytest.mark.parametrize(
    "words",
    [
        "THOUGHT SIGNATURE IS NOT VALID",
        "Invalid thought signature",
        "Invalid thoughtSignature.",
        "Unable to submit request because Thought signature is not valid..",
        "contents[1].parts[0].thought_signature: Base64 decoding failed",
        "Request contains an invalid thought-signature.",
        "thinking signature expired",
    ],
)
@pytest.mark.parametrize("has_history", [False, True])
def test_signature_of_a_thought_is_known_by_its_name(words: str, has_history: bool) -> None:
    assert is_about_signature(UpstreamRefusal(words, status=400), has_history=has_history)


@pytest.mark.parametrize(
    "words",
    [
        "Invalid `signature` in `thinking` block",
        "`signature` is not valid",
        "The signature is invalid",
        "Signature is invalid.",
        "SIGNATURES EXPIRED",
        "Signature verification failed",
        "Failed to decode signature of thought part",
        "The function call's signature isn't that of the model's answer",
        "The signature of function call 'look' is not valid",
    ],
)
def test_any_signature_is_of_a_thought_where_the_model_has_spoken_before(words: str) -> None:
    assert is_about_signature(UpstreamRefusal(words, status=400), has_history=True)
    assert not is_about_signature(UpstreamRefusal(words, status=400), has_history=False)


@pytest.mark.parametrize(
    "words",
    [
        "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[signature].format: no such",
        "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[thought_signature].type: no",
        "* GenerateContentRequest.generation_config.response_schema.properties[signature].type: must be specified",
        "Unknown name \"signature\" at 'contents[1].parts[0]': Cannot find field.",
        "Unknown name \"x\" at 'contents[1].parts[0].function_call.signature': Cannot find field.",
        "Unknown name \\\"signature\\\" at 'contents[1]': Cannot find field.",
        "Invalid value at 'contents[1].role' (TYPE_STRING), \"the signature is invalid\"",
        "Invalid value at 'contents[1].role' (TYPE_STRING), \"the signature is too long to be shown",
        "Function `signature` is declared twice.",
        "Function call `signature` comes without a response; the tool `signature` lacks `check signature`.",
        "The function signature is not valid",
        "Signature of the function look: too many arguments",
        "Invalid JWT Signature.",
        "Please assign roles: signatureless",
    ],
)
def test_signatures_of_other_kinds_are_none_of_a_thought(words: str) -> None:
    assert not is_about_signature(UpstreamRefusal(words, status=400), has_history=True)


def test_signature_is_found_beside_a_schema() -> None:
    line = "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[signature].type: missing"
    assert is_about_signature(UpstreamRefusal(f"{line}\n* Thought signature is not valid.", status=400))


def test_all_schema_faults_of_one_refusal_are_told() -> None:
    words = "Invalid JSON payload received. Unknown name \"{}\" at 'tools[0].function_declarations[{}].parameters': no"
    lines = [words.format(*fault) for fault in (("const", 0), ("if", 2), ("const", 0))]
    assert schema_faults(UpstreamRefusal("\n".join(lines), status=400)) == (
        (0, 0, "const"),
        (0, 2, "if"),
    )


@pytest.mark.parametrize("name", BODIES)
def test_schema_fault(name: str) -> None:
    assert schema_faults(recorded(name))[:1] == ((SCHEMA_FAULTS[name],) if name in SCHEMA_FAULTS else ())


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (
            "Unknown name \"x-y\" at 'tools[0].functionDeclarations[11].parametersJsonSchema': Cannot find field.",
            (0, 11, "x-y"),
        ),
        ("Unknown name \\\"exclusiveMinimum\\\" at 'tools[0].function_declarations[1]'", (0, 1, "exclusiveMinimum")),
        ("Unknown name \"x\" at 'tools[12].functionDeclarations[3].parameters': Cannot find field.", (12, 3, "x")),
        (
            "* CountTokensRequest.generate_content_request.tools[2].function_declarations[1].parameters.format: no",
            (2, 1, "format"),
        ),
        ("Unknown name \"x\" at 'function_declarations[1].parameters': Cannot find field.", (None, 1, "x")),
        ("tools[0].function_declarations[0].parameters.items.prefixItems[1].pattern is bad", (0, 0, "pattern")),
        ("tools[0].function_declarations[0].parameters: schema is too deep", None),
        ("function_declarations[0].parameters.formatting: bad", None),
    ],
)
def test_schema_fault_in_other_words(words: str, fault: Fault | None) -> None:
    assert schema_faults(UpstreamRefusal(words, status=400)) == ((fault,) if fault else ())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_header(value: str, seconds: float | None) -> None:
    assert of({"error": {"message": "x"}}, 503, retry_after=value).retry_after_s == seconds


def test_body_counts_before_the_retry_after_header() -> None:
    body = {"error": {"message": "Please retry in 34.07s.", "details": [{"retryDelay": "2s"}]}}
    assert of(body, 429, retry_after="99").retry_after_s == 2.0


def test_retry_after_header_of_an_html_page() -> None:
    error = decode_error(503, {"retry-after": "30"}, b"<html>", now=NOW)
    assert (error.status, error.retry_after_s) == (503, 30.0)


@pytest.mark.parametrize(
    ("words", "quota_ids"),
    [
        ("Quota exceeded for quota metric 'A per day' and limit 'B per minute' of service 'x'.", ("B_per_minute",)),
        (f"* Quota exceeded for quota metric 'A' and limit '{PER_DAY}' of service 'x'.", (PER_DAY,)),
        ("You have asked for 'requests per day' and limit 'B per day'", ()),
        ("Quota exceeded for quota metric 'A' and limit 'B per day", ()),
    ],
)
def test_limit_in_words(words: str, quota_ids: tuple[str, ...]) -> None:
    assert of({"error": {"message": words}}, 429).quota_ids == quota_ids


def test_quota_that_is_told_twice_is_one() -> None:
    details = [{"violations": [{"quotaId": PER_DAY}]}, {"metadata": {"quota_limit": PER_DAY}}]
    assert of({"error": {"message": "x", "details": details}}, 429).quota_ids == (PER_DAY,)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please retry in 34.07s.", 34.07),
        ("please RETRY IN 900ms", 0.9),
        ("Please retry in 5 s", 5.0),
        ("Please retry in 1h2m", 3720.0),
        ("Please retry in 18m5.02s.", 1085.02),
        ("Please retry in 1.2.3s", None),
        ("Please retry in five seconds", None),
        ("Please retry in 5 attempts", None),
    ],
)
def test_delay_in_words(words: str, seconds: float | None) -> None:
    assert of({"error": {"message": words}}, 429).retry_after_s == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("delay", ["", "s", "5", "-5s", "5 minutes", "1e3s", 5, None, {"seconds": 5}])
def test_delay_that_makes_no_sense_is_none(delay: object) -> None:
    assert of({"error": {"message": "x", "details": [{"retryDelay": delay}]}}, 429).retry_after_s is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[]", b'"text"', b"{}", b'{"error":null}', b'{"error":""}', b"\xff"]
)
def test_body_without_an_error_object(body: bytes) -> None:
    error = decode_error(418, {}, body, now=NOW)
    assert error.status == 418
    assert error.message == "the model service answered HTTP 418 without saying why"


@pytest.mark.parametrize("status", [204, 302, 999])
def test_status_that_no_model_service_has(status: int) -> None:
    error = decode_error(status, {}, b"<html>", now=NOW)
    assert error.status == 502
    assert error.message == (
        f"the model service answered HTTP {status}; is base_url right, is there a proxy in between?"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":{"message":"x"}}'])
def test_redirect_is_a_bad_gateway(body: bytes) -> None:
    assert decode_error(302, {"location": "https://elsewhere.example"}, body, now=NOW).status == 502


@pytest.mark.parametrize(
    "holder",
    [
        {"message": None},
        {"message": 5, "details": None},
        {"message": "x", "status": 5, "details": [None, "x", {"reason": None, "violations": None}]},
        {"message": "x", "details": [{"violations": [None, {"quotaId": None}], "metadata": None}]},
        {"message": "x", "details": [{"metadata": {"quota_limit": None}}, {"metadata": ["quota_limit"]}]},
    ],
)
def test_odd_error_objects_are_taken(holder: dict[str, Any]) -> None:
    error = of({"error": holder}, 429)
    assert (error.status, error.reason, error.error_reasons, error.quota_ids) == (429, None, (), ())
    assert error.message


def test_error_that_is_only_words_is_told() -> None:
    assert decode_error(502, {}, b'{"error": "no route to host"}', now=0.0).message == "no route to host"


# In the words of the service, as people got them.
REFUSED_SETTINGS: tuple[tuple[str, str], ...] = (
    ("penalties", "Penalty is not enabled for this model"),
    ("penalties", "Penalty is not enabled for models/gemini-2.5-flash"),
    ("logprobs", "Logprobs is not enabled for models/gemini-2.5-pro"),
    ("logprobs", "Logprobs is not supported for the current model."),
    ("logprobs", "Unable to submit request because Logprobs is not supported for this model."),
    ("n", "Multiple candidates is not enabled for this model"),
    ("n", "* GenerateContentRequest.generation_config.candidate_count: candidate_count must be in the range [1, 1].\n"),
    ("thinking", "Thinking level is not supported for this model."),
    ("thinking", "Thinking level MINIMAL is not supported for this model."),
    ("thinking", "Thinking level is unsupported: THINKING_LEVEL_MINIMAL"),
    ("thinking", "'minimal' is not a supported thinking level for this model. Allowed values are: medium, low, high."),
    ("thinking", "Thinking budget is not supported for this model."),
    ("thinking", "Budget 0 is invalid. This model only works in thinking mode."),
    ("thinking", "The thinking budget 24577 is invalid. Please choose a value between 1 and 24576."),
    ("thinking", "You can only set only one of thinking budget and thinking level."),
    ("thinking", "Unable to submit request because thinking is not supported by this model."),
    ("thinking", "Thinking_config.include_thoughts is only enabled when thinking is enabled."),
    ("json_mode", "Json mode is not enabled for models/gemini-2.5-flash-image"),
    ("json_mode", "JSON mode is not enabled for this model"),
    ("json_mode", "Function calling with a response mime type: 'application/json' is unsupported"),
    ("json_mode", "Tool use with a response mime type: 'application/json' is unsupported"),
    ("json_schema", "The specified schema produces a constraint that has too many states for serving."),
    ("json_schema", "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth."),
    ("json_schema", "* GenerateContentRequest.generation_config.response_json_schema: unsupported keyword 'x'"),
    ("json_schema", "Invalid JSON payload received. Unknown name \"x\" at 'generation_config.response_json_schema'"),
    ("system", "Developer instruction is not enabled for models/gemma-3-27b-it"),
    ("system", "System instructions are not supported for this model."),
    ("web_search", "Search as tool is not enabled for this model"),
    ("web_search", "Search Grounding is not supported."),
    ("web_search", "google_search is not supported for this model."),
    ("sampling", "temperature is deprecated and not supported for this model."),
    ("sampling", "`temperature`, `top_p`, and `top_k` are deprecated."),
    ("temperature", "temperature is not supported for this model."),
    ("top_k", "top_k is no longer supported."),
    ("top_p", "topP is not supported for this model."),
    (
        "temperature",
        "Invalid JSON payload received. Unknown name \"temperature\" at 'generation_config': Cannot find field.",
    ),
)
OTHER_REFUSALS = (
    "Request contains an invalid argument.",
    "Function calling is not enabled for models/gemma-3-27b-it",
    "Tool use with function calling is unsupported",
    "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling.",
    "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n",
    "* GenerateContentRequest.generation_config.logprobs: logprobs must be in the range [0, 20].\n",
    "* GenerateContentRequest.contents: contents is not specified",
    "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
    "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide",
    "Unsupported MIME type: application/octet-stream",
    "Cannot fetch content from the provided URL.",
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    "User location is not supported for the API use.",
    "Thought signature is not valid.",
    "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.",
    "HARM_CATEGORY_CIVIC_INTEGRITY threshold cannot be 5",
)


@pytest.mark.parametrize(("setting", "words"), REFUSED_SETTINGS)
def test_refused_setting(setting: str, words: str) -> None:
    assert refused_setting(UpstreamRefusal(words, status=400)) == setting


# What a client sent comes back in quotes, and may say anything.
ECHOES = (
    "Invalid value at 'safety_settings[0].category' (type.googleapis.com/Harm), \"temperature is deprecated\"",
    'Request contains "penalty is not supported for this model", which is no category.',
    "Function name candidate_count is duplicated",
    "Unknown name \"temperature\" at 'contents[0]': Cannot find field.",
    'Unknown name "logprobs is not enabled for this model": Cannot find field.',
)


@pytest.mark.parametrize("words", ECHOES)
def test_words_of_a_client_are_of_no_setting(words: str) -> None:
    assert refused_setting(UpstreamRefusal(words, status=400)) is None


def test_long_message_is_cut_and_costs_little() -> None:
    body = {"error": {"code": 400, "message": "function_declarations[0]" * 30_000, "status": "INVALID_ARGUMENT"}}
    error = decode_error(400, {}, json.dumps(body).encode(), now=0)
    assert len(error.message) < 2100
    started = process_time()
    assert (schema_faults(error), refused_setting(error), is_about_signature(error)) == ((), None, False)
    assert process_time() - started < 0.5


@pytest.mark.parametrize("words", OTHER_REFUSALS)
def test_other_refusals_are_of_no_setting(words: str) -> None:
    assert refused_setting(UpstreamRefusal(words, status=400)) is None


@pytest.mark.parametrize("name", [name for name in BODIES if BODIES[name][0] == 400])
def test_recorded_refusals_are_of_no_setting(name: str) -> None:
    assert refused_setting(recorded(name)) is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_only_a_400_refuses_a_setting(status: int) -> None:
    assert refused_setting(UpstreamRefusal("Penalty is not enabled for this model", status=status)) is None


def test_a_declaration_is_no_setting() -> None:
    words = "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[temperature]: unsupported"
    assert refused_setting(UpstreamRefusal(words, status=400)) is None

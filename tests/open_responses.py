"""The schemas of Open Responses, and the words of its compliance suite.

Restated from https://github.com/openresponses/openresponses, ``schema/*.tsp`` (ResponseResource, CompactResource, the
items and the streaming events), as JSON Schema: all keys that are required there are required here, and null is only
where it may be there. What is stricter: ``schema`` of a JSON format is an object, not null. What is not in its unions
(custom tools, searches of the web) has no place in its tests either.
"""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from tests.conversation.wire import server_events

Json = Any

_STRING, _INTEGER, _NUMBER, _BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _one_of(*values: str) -> Json:
    return {"enum": list(values)}


def _object(required: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _typed(kind: str, required: Json, optional: Json | None = None) -> Json:
    return _object({"type": {"const": kind}, **required}, optional)


def _union(schemas: dict[str, Json]) -> Json:
    """One of these, by ``type``: errors then name what is wrong in the one that is meant."""
    cases = [
        {"if": {"properties": {"type": {"const": kind}}}, "then": _typed(kind, *schema)}
        for kind, schema in schemas.items()
    ]
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": _one_of(*schemas)},
        "allOf": cases,
    }


# Content.

_STATUS = _one_of("in_progress", "completed", "incomplete")
_TOP_LOGPROB = {"token": _STRING, "logprob": _NUMBER, "bytes": _list(_INTEGER)}
_LOGPROBS = _list(_object({**_TOP_LOGPROB, "top_logprobs": _list(_object(_TOP_LOGPROB))}))
_ANNOTATION = _typed("url_citation", {"url": _STRING, "start_index": _INTEGER, "end_index": _INTEGER, "title": _STRING})
_DETAIL = _one_of("low", "high", "auto")
_PART = _union(
    {
        "input_text": ({"text": _STRING},),
        "output_text": ({"text": _STRING, "annotations": _list(_ANNOTATION)}, {"logprobs": _LOGPROBS}),
        "text": ({"text": _STRING},),
        "summary_text": ({"text": _STRING},),
        "reasoning_text": ({"text": _STRING},),
        "refusal": ({"refusal": _STRING},),
        "input_image": ({"image_url": _or_null(_STRING), "detail": _DETAIL},),
        "input_file": ({}, {"filename": _STRING, "file_url": _STRING}),
        "input_video": ({"video_url": _STRING},),
    }
)

# Items.

_MESSAGE = {
    "id": _STRING,
    "status": _STATUS,
    "role": _one_of("user", "assistant", "system", "developer"),
    "content": _list(_PART),
}
_ITEM = _union(
    {
        "message": (_MESSAGE, {"phase": _one_of("commentary", "final_answer")}),
        "function_call": (
            {"id": _STRING, "call_id": _STRING, "name": _STRING, "arguments": _STRING, "status": _STATUS},
        ),
        "function_call_output": (
            {
                "id": _STRING,
                "call_id": _STRING,
                "output": {"anyOf": [_STRING, _list(_PART)]},
                "status": _STATUS,
            },
        ),
        "reasoning": (
            {"id": _STRING, "summary": _list(_PART)},
            {"content": _list(_PART), "encrypted_content": _STRING},
        ),
        "compaction": ({"id": _STRING, "encrypted_content": _STRING}, {"created_by": _STRING}),
    }
)

# The response.

_FUNCTION = _typed(
    "function",
    {
        "name": _STRING,
        "description": _or_null(_STRING),
        "parameters": _or_null({"type": "object"}),
        "strict": _or_null(_BOOLEAN),
    },
)
_FUNCTION_CHOICE = _typed("function", {}, {"name": _STRING})
_CHOICE_WORD = _one_of("none", "auto", "required")
_TOOL_CHOICE = {
    "anyOf": [
        _CHOICE_WORD,
        _FUNCTION_CHOICE,
        _typed("allowed_tools", {"tools": _list(_FUNCTION_CHOICE), "mode": _CHOICE_WORD}),
    ]
}
_FORMAT = _union(
    {
        "text": ({},),
        "json_object": ({},),
        "json_schema": (
            {
                "name": _STRING,
                "description": _or_null(_STRING),
                "schema": {"type": "object"},
                "strict": _BOOLEAN,
            },
        ),
    }
)
_USAGE = _object(
    {
        "input_tokens": _INTEGER,
        "output_tokens": _INTEGER,
        "total_tokens": _INTEGER,
        "input_tokens_details": _object({"cached_tokens": _INTEGER}),
        "output_tokens_details": _object({"reasoning_tokens": _INTEGER}),
    }
)
_EFFORT = _one_of("none", "minimal", "low", "medium", "high", "xhigh")
_RESPONSE = _object(
    {
        "id": _STRING,
        "object": {"const": "response"},
        "created_at": _INTEGER,
        "completed_at": _or_null(_INTEGER),
        "status": _STRING,
        "incomplete_details": _or_null(_object({"reason": _STRING})),
        "model": _STRING,
        "previous_response_id": _or_null(_STRING),
        "instructions": _or_null(_STRING),
        "output": _list(_ITEM),
        "error": _or_null(_object({"code": _STRING, "message": _STRING})),
        "tools": _list(_FUNCTION),
        "tool_choice": _TOOL_CHOICE,
        "truncation": _one_of("auto", "disabled"),
        "parallel_tool_calls": _BOOLEAN,
        "text": _object({"format": _FORMAT}, {"verbosity": _one_of("low", "medium", "high")}),
        "top_p": _NUMBER,
        "presence_penalty": _NUMBER,
        "frequency_penalty": _NUMBER,
        "top_logprobs": _INTEGER,
        "temperature": _NUMBER,
        "reasoning": _or_null(
            _object({"effort": _or_null(_EFFORT), "summary": _or_null(_one_of("concise", "detailed", "auto"))})
        ),
        "usage": _or_null(_USAGE),
        "max_output_tokens": _or_null(_INTEGER),
        "max_tool_calls": _or_null(_INTEGER),
        "store": _BOOLEAN,
        "background": _BOOLEAN,
        "service_tier": _STRING,
        "metadata": {},
        "safety_identifier": _or_null(_STRING),
        "prompt_cache_key": _or_null(_STRING),
    }
)
_COMPACTION = _object(
    {
        "id": _STRING,
        "object": {"const": "response.compaction"},
        "output": _list(_ITEM),
        "created_at": _INTEGER,
        "usage": _USAGE,
    }
)

# Events.

_NUMBERED = {"sequence_number": _INTEGER}
_WHOLE = {**_NUMBERED, "response": _RESPONSE}
_WITH_ITEM = {**_NUMBERED, "output_index": _INTEGER, "item": _or_null(_ITEM)}
_PLACE = {**_NUMBERED, "item_id": _STRING, "output_index": _INTEGER}
_IN_CONTENT = {**_PLACE, "content_index": _INTEGER}
_IN_SUMMARY = {**_PLACE, "summary_index": _INTEGER}
_DELTA = {"delta": _STRING}
_TEXT = {"text": _STRING}
_PADDED = {"obfuscation": _STRING}
_ERROR = _object({"type": _STRING, "code": _or_null(_STRING), "message": _STRING, "param": _or_null(_STRING)})
_EVENT = _union(
    {
        **{
            f"response.{name}": (_WHOLE,)
            for name in ("created", "queued", "in_progress", "completed", "failed", "incomplete")
        },
        "response.output_item.added": (_WITH_ITEM,),
        "response.output_item.done": (_WITH_ITEM,),
        "response.content_part.added": ({**_IN_CONTENT, "part": _PART},),
        "response.content_part.done": ({**_IN_CONTENT, "part": _PART},),
        "response.output_text.delta": ({**_IN_CONTENT, **_DELTA}, {"logprobs": _LOGPROBS, **_PADDED}),
        "response.output_text.done": ({**_IN_CONTENT, **_TEXT}, {"logprobs": _LOGPROBS}),
        "response.output_text.annotation.added": (
            {**_IN_CONTENT, "annotation_index": _INTEGER, "annotation": _or_null(_ANNOTATION)},
        ),
        "response.refusal.delta": ({**_IN_CONTENT, **_DELTA},),
        "response.refusal.done": ({**_IN_CONTENT, "refusal": _STRING},),
        "response.function_call_arguments.delta": ({**_PLACE, **_DELTA}, _PADDED),
        "response.function_call_arguments.done": ({**_PLACE, "arguments": _STRING},),
        "response.reasoning.delta": ({**_IN_CONTENT, **_DELTA}, _PADDED),
        "response.reasoning.done": ({**_IN_CONTENT, **_TEXT},),
        "response.reasoning_summary_part.added": ({**_IN_SUMMARY, "part": _PART},),
        "response.reasoning_summary_part.done": ({**_IN_SUMMARY, "part": _PART},),
        "response.reasoning_summary_text.delta": ({**_IN_SUMMARY, **_DELTA}, _PADDED),
        "response.reasoning_summary_text.done": ({**_IN_SUMMARY, **_TEXT},),
        "error": ({**_NUMBERED, "error": _ERROR},),
    }
)

_RESPONSES, _COMPACTIONS, _EVENTS = map(Draft202012Validator, (_RESPONSE, _COMPACTION, _EVENT))
_LAST = ("response.completed", "response.failed", "response.incomplete")


def validated(response: Json) -> Json:
    """A ResponseResource.

    :raises AssertionError: it is none, naming each place where it is not.
    """
    return _valid(_RESPONSES, response)


def validated_compaction(body: Json) -> Json:
    """A CompactResource.

    :raises AssertionError: it is none.
    """
    return _valid(_COMPACTIONS, body)


def validated_stream(stream: bytes) -> list[Json]:
    """The events of a stream, each valid and named as its ``type`` says, up to the one that ends it and ``[DONE]``.

    :raises AssertionError: one of them is not.
    """
    *events, end = server_events(stream)
    assert (end.name, end.data) == ("", "[DONE]")
    bodies = [_valid(_EVENTS, json.loads(event.data)) for event in events]
    assert [event.name for event in events] == [body["type"] for body in bodies]
    assert [body["type"] in _LAST for body in bodies] == [*[False] * (len(bodies) - 1), True]
    validated(bodies[-1]["response"])
    return bodies


def _valid(validator: Draft202012Validator, value: Json) -> Json:
    found = "\n".join(f"  {place}: {words}" for place, words in _errors(validator, value))
    assert not found, f"not of Open Responses' schema:\n{found}"
    return value


def _errors(validator: Draft202012Validator, value: Json) -> Iterator[tuple[str, str]]:
    for error in validator.iter_errors(value):
        yield error.json_path, error.message[:200]

"""Gemini's HTTP errors as :class:`UpstreamRefusal`, and what they say about schemas and signatures.

Wire: https://google.aip.dev/193 and google/rpc/error_details.proto; quota details as seen in the wild
(``QuotaFailure.violations[].quotaId``, ``RetryInfo.retryDelay``; ``ErrorInfo.metadata.quota_limit``, which is one of
https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto, in google-gemini/gemini-cli#10513).
"""

import json
import re
from collections.abc import Container, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from agproxy.errors import BadRequest, UpstreamRefusal, redact
from agproxy.jsonwire import decode_json, encode_json

_MAX_DELAY_S = 48 * 3600.0  # no quota of Google's lasts longer than a day
_MAX_DETAILS = 16384  # characters
_MAX_MESSAGE = 2000  # characters; Google quotes what it refuses, however long that is

# protobuf's "34.07s", and Go's "900ms" and "19h34m29.8s", in which the words of daily quotas come.
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:([0-9.]{1,30})\s*(ms|s)\b)?", re.IGNORECASE)
# "Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro Requests per day per user per
# tier' of service ...": google-gemini/gemini-cli#10513. A limit has an id or a title there.
_LIMIT_IN_WORDS = re.compile(
    r"\bquota exceeded for quota metric '[^'\n]{0,200}' and limit '([^'\n]{1,200})'", re.IGNORECASE
)
_RETRY_IN_WORDS = re.compile(r"retry in (?=\d)" + _DURATION.pattern, re.IGNORECASE)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> UpstreamRefusal:
    """The error that an HTTP answer of ``status`` >= 400 tells.

    :param headers: with lower-case names.
    :param now: Unix seconds, to read a ``Retry-After`` that is a date.
    """
    try:
        value = decode_json(body)
    except BadRequest:
        value = None
    error = refusal(status, value)
    if error.retry_after_s is None:
        error.retry_after_s = _retry_after(headers.get("retry-after", ""), now)
    return error


def refusal(status: int, value: object) -> UpstreamRefusal:
    """The error that an error object tells; for one within a stream, whose ``status`` is 200, its ``code`` counts."""
    if isinstance(value, list):
        value = value[0] if value else None
    holder = value.get("error") if isinstance(value, dict) else None
    is_error = 400 <= status < 600
    if not isinstance(holder, dict):
        words = f"the model service answered HTTP {status} without saying why"
        if not is_error and status != 200:
            words = f"the model service answered HTTP {status}; is base_url right, is there a proxy in between?"
        if isinstance(holder, str) and holder:  # no error of Google's, but perhaps of a proxy in between
            words = redact(holder[:_MAX_MESSAGE])
        return UpstreamRefusal(words, status=status if is_error else 502)
    code = holder.get("code")
    if not is_error:
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
    message = str(holder.get("message") or f"HTTP {status}")
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + "..."
    message = redact(message)
    details = _objects(holder.get("details"))
    reason = holder.get("status")
    return UpstreamRefusal(
        message,
        status=status,
        reason=reason if isinstance(reason, str) else None,
        error_reasons=tuple(str(detail["reason"]) for detail in details if detail.get("reason")),
        quota_ids=_quota_ids(details, message),
        details=_shown(details),
        retry_after_s=_delay(details, message),
    )


def _shown(details: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The details as a client may see them: without keys, and none beyond what an error needs."""
    text = redact(encode_json(details).decode())
    return tuple(json.loads(text)) if len(text) <= _MAX_DETAILS else ()


def _quota_ids(details: list[dict[str, Any]], message: str) -> tuple[str, ...]:
    """The quotas that are used up, as QuotaFailure, ErrorInfo or the older words of the message name them.

    A title in words is made an id, "requests per day" ``requests_per_day``.
    """
    found = [violation.get("quotaId") for detail in details for violation in _objects(detail.get("violations"))]
    found += [each.get("quota_limit") for detail in details for each in _objects([detail.get("metadata")])]
    found += ["_".join(match[1].split()) for match in _LIMIT_IN_WORDS.finditer(message)]
    return tuple(dict.fromkeys(str(each) for each in found if each))


def _delay(details: list[dict[str, Any]], message: str) -> float | None:
    """``RetryInfo.retryDelay``, the older ``quotaResetDelay`` of an ErrorInfo, or the message's own words."""
    hints = [detail.get("retryDelay") for detail in details]
    hints += [each.get("quotaResetDelay") for detail in details for each in _objects([detail.get("metadata")])]
    for hint in hints:
        if isinstance(hint, str) and (match := _DURATION.fullmatch(hint.strip())):
            return _seconds(match)
    match = _RETRY_IN_WORDS.search(message)
    return _seconds(match) if match else None


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _seconds(match: re.Match[str]) -> float | None:
    hours, minutes, number, unit = match.groups()
    try:
        rest = float(number or 0)
    except ValueError:
        return None
    seconds = 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + (rest / 1000 if unit in ("ms", "MS") else rest)
    return min(seconds, _MAX_DELAY_S) if any(match.groups()) else None


def _retry_after(value: str, now: float) -> float | None:
    """RFC 9110, section 10.2.3: seconds or a date."""
    value = value.strip()
    if not value:
        return None
    if value.isdecimal():
        return min(float(value[:12]), _MAX_DELAY_S)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), _MAX_DELAY_S)
    except (ValueError, OverflowError):
        return None


# A 400 may be mended and sent again, once.

_THOUGHT_SIGNATURE = re.compile(r"(?:thought|thinking)[\s_`'\"-]*signature", re.IGNORECASE)
_SIGNATURE = re.compile(r"\bsignatures?\b", re.IGNORECASE)
# Signatures of other kinds, and what is quoted: names and values of the client, which may say anything.
_OTHER_SIGNATURE = re.compile(
    r"\b(?:function|method|jwt|url|file) signatures?\b|\bsignatures? of (?:the |a )?(?:function|method)\b(?![ _]?call)"
    r"|\\?\"[^\"]*(?:\"|$)|(?<!\w)'[^'\n]*'(?!\w)|\b(?:function|call|tool|property|parameter) `[^`\n]*`"
    r"|`(?!signature`)[^`\n]*`",  # "Invalid `signature` in `thinking` block" is about what it says
    re.IGNORECASE,
)
_DECLARATION = re.compile(r"(?:\btools\[(\d+)\]\.)?function_?declarations\[(\d+)\]", re.IGNORECASE)
# In the path of a schema "signature" is the name of a property.
_OF_A_SCHEMA = re.compile(r"function_?declarations\[|response_?(?:json_?)?schema", re.IGNORECASE)
_UNKNOWN_NAME = re.compile(r"unknown name \\?\"([^\"\\]+)\\?\"", re.IGNORECASE)
_KEYWORD = re.compile(
    r"function_?declarations\[\d+\]\S{0,300}[.\s'\"`]"  # the last one of the path: "items.format" is about "format"
    r"(\$ref|\$defs|additionalProperties|anyOf|default|description|enum|format|items|maximum|maxItems|minimum|minItems"
    r"|oneOf|pattern|prefixItems|propertyOrdering|title)(?![A-Za-z])"
)


def is_about_signature(error: UpstreamRefusal, *, has_history: bool = True) -> bool:
    """Whether a 400 refuses a thought signature, whatever its wording.

    :param has_history: the request holds turns of the model. They alone bear signatures; where there are none, words
        that do not name the thought are about something else.
    """
    if error.status != 400:
        return False
    words = "\n".join(line for line in error.message.splitlines() if not _OF_A_SCHEMA.search(line))
    if _THOUGHT_SIGNATURE.search(words):
        return True
    return has_history and _SIGNATURE.search(_OTHER_SIGNATURE.sub("...", words)) is not None


Fault = tuple[int | None, int, str]


def schema_faults(error: UpstreamRefusal) -> tuple[Fault, ...]:
    """The schema keywords that a 400 refuses; it may name several, a line each.

    ``Invalid JSON payload received. Unknown name "x" at 'tools[0].function_declarations[2].parameters': ...``

    :returns: of each the element of ``tools`` (None where it is not told), the index of the declaration in it, and the
        keyword.
    """
    if error.status != 400:
        return ()
    found = [fault for line in error.message.splitlines() if (fault := _fault(line))]
    if not found and (fault := _fault(error.message)):
        found = [fault]
    return tuple(dict.fromkeys(found))


def _fault(words: str) -> Fault | None:
    declaration = _DECLARATION.search(words)
    keyword = _UNKNOWN_NAME.search(words) or _KEYWORD.search(words)
    if declaration is None or keyword is None:
        return None
    holder, index = declaration.groups()
    return (None if holder is None else int(holder), int(index), keyword[1])


# Settings that some models have and others refuse, by the names of ``gemini_settings``, in the words of the service:
# google-gemini/cookbook#1290 (penalties), langchain-ai/langchain-google#1266 (logprobs), googleapis/js-genai#1609 (n),
# RooCodeInc/Roo-Code#10700 and fishjar/kiss-translator#1051 (thinking), googleapis/python-genai#867 (JSON mode).
_REFUSED = r" (?:is|are) (?:not (?:enabled|supported|available)|no longer supported|unsupported|deprecated)"
_LISTED = r"(?:[`,]|\b(?:and|or)\b|\s|top_?[pk]){0,20}?"  # "`temperature`, `top_p`, and `top_k` are deprecated"
_SETTINGS = (
    ("penalties", rf"\b(?:presence |frequency )?penalty{_REFUSED}"),
    ("logprobs", rf"\blogprobs?{_REFUSED}"),
    ("n", rf"\bmultiple candidates?{_REFUSED}|\bcandidate_?count must be in the range \[1, 1\]"),
    (
        "thinking",
        r"thinking[ _]?(level|budget|config)|thinking is not|include_?thoughts|thinking mode|budget -?\d+ is invalid",
    ),
    ("json_mode", r"json mode is not|response mime type|response_?mime_?type"),
    ("json_schema", r"response_?(json_?)?schema|schema.{0,40}too (many|complex|deep)|nesting depth"),
    ("system", rf"\b(developer|system) instructions?{_REFUSED}"),
    ("web_search", rf"\b(google_?search|google search|search grounding|search as (a )?tool)( tool)?{_REFUSED}"),
    # Announced for all three at once: https://ai.google.dev/gemini-api/docs/latest-model#sampling-parameter-deprecation
    ("sampling", rf"\b(?:temperature|top_?[pk]){_LISTED} (?:is|are) deprecated"),
    ("temperature", rf"\btemperature{_LISTED}{_REFUSED}|unknown name \\?\"temperature\\?\" at 'generation_?config'"),
    ("top_p", rf"\btop_?p{_LISTED}{_REFUSED}|unknown name \\?\"top_?p\\?\" at 'generation_?config'"),
    ("top_k", rf"\btop_?k{_LISTED}{_REFUSED}|unknown name \\?\"top_?k\\?\" at 'generation_?config'"),
)
SETTINGS = tuple(name for name, _ in _SETTINGS)
_REFUSED_SETTINGS = tuple((name, re.compile(words, re.IGNORECASE)) for name, words in _SETTINGS)
_UNKNOWN_SETTING = re.compile(r"unknown name \\?\"\w{1,40}\\?\" at '\w{1,40}'", re.IGNORECASE)
# A value that the client sent, quoted: it may say anything.
_QUOTED = re.compile(r"\\?\"[^\"]*\"")
_LASTING = re.compile(
    r"\b(?:for|by|with) (?:this|the current) model\b|\b(?:for|by) models/|\bdeprecated\b", re.IGNORECASE
)


def refused_setting(error: UpstreamRefusal, used: Container[str] = frozenset(SETTINGS)) -> str | None:
    """Which setting a 400 refuses, by its name in ``gemini_settings``, or None.

    :param used: those that the request held.
    """
    if error.status != 400 or _DECLARATION.search(error.message) or error.message.startswith("Invalid value at"):
        return None
    words = error.message if _UNKNOWN_SETTING.search(error.message) else _QUOTED.sub('""', error.message)
    return next((name for name, expression in _REFUSED_SETTINGS if name in used and expression.search(words)), None)


def is_of_the_model(error: UpstreamRefusal) -> bool:
    """Whether the refusal is about the model as such, so that its next requests will meet it too."""
    return _LASTING.search(_QUOTED.sub('""', error.message)) is not None

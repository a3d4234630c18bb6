"""Answers that are errors, in Google's words and shape, and those that are no Google answer at all.

Wire: https://cloud.google.com/apis/design/errors, google/rpc/error_details.proto; a bad key is HTTP 400, not 401
(https://ai.google.dev/gemini-api/docs/troubleshooting). Quotas: ogkalu2/comic-translate issue 403 has a whole body of
the free tier; those of paid projects and of embeddings name other metrics.
"""

from typing import Any

from tests.fake_google.refusal import STATUS_OF, JsonObject, api_key_invalid_refusal, error_body, error_info
from tests.fake_google.script import Answer, Chunk

_FREE_REQUESTS = "generate_content_free_tier_requests"
_FREE_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


def error(
    http_status: int,
    status: str | None = None,
    message: str = "",
    details: list[JsonObject] | None = None,
    *,
    wrapped: bool = False,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """An HTTP error in Google's shape.

    :param status: google.rpc status word; the usual one of ``http_status`` if None.
    :param wrapped: inside an array, ``[{"error": ...}]``, as streams and the OpenAI layer do it.
    """
    body = error_body(
        http_status, status or STATUS_OF.get(http_status, "UNKNOWN"), message or f"HTTP {http_status}", details or []
    )
    return Answer(http_status=http_status, body=[body] if wrapped else body, headers=headers)


def error_event(http_status: int, status: str | None = None, message: str = "", **extra: Any) -> Answer:
    """An error as an event of a stream that has begun: ``text("Hel", finish=None) + error_event(503)``."""
    body = error_body(http_status, status or STATUS_OF.get(http_status, "UNKNOWN"), message or "failed", [])
    return Answer((Chunk(response=body | extra, bare=True, has_candidate=False),))


def quota_per_minute(
    retry_delay: str | None = "34.07s", *, model: str = "gemini-2.5-flash", wrapped: bool = False
) -> Answer:
    """429 of the free tier's requests per minute; Google asks to wait ``retry_delay``."""
    quota_id = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    return _quota(quota_id, _FREE_REQUESTS, "10", model, retry_delay, wrapped)


def quota_per_day(
    retry_delay: str | None = "38.2s", *, model: str = "gemini-2.5-flash", wrapped: bool = False
) -> Answer:
    """429 of the requests per day; the retryDelay beside it is misleading, as it is in reality."""
    return _quota(_FREE_DAY, _FREE_REQUESTS, "250", model, retry_delay, wrapped)


def quota_per_day_paid(retry_delay: str | None = "6776s", *, model: str = "gemini-2.5-pro") -> Answer:
    """429 of a paid project's requests per day: hours to wait, which the words tell as ``1h52m56s``."""
    metric = "generate_requests_per_model_per_day"
    return _quota("GenerateRequestsPerDayPerProjectPerModel", metric, "1000", model, retry_delay, False)


def embed_quota_per_minute(retry_delay: str | None = "33s", *, model: str = "gemini-embedding-001") -> Answer:
    """429 of the free tier's embeddings per minute, of which each request of a batch is one."""
    quota_id = "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier"
    return _quota(quota_id, "embed_content_free_tier_requests", "100", _base_model(model), retry_delay, False)


def embed_quota_per_day(retry_delay: str | None = "45.4s", *, model: str = "gemini-embedding-001") -> Answer:
    """429 of the free tier's embeddings per day."""
    quota_id = "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier"
    return _quota(quota_id, "embed_content_free_tier_requests", "1000", _base_model(model), retry_delay, False)


def quota_zero(*, model: str = "gemini-2.5-pro") -> Answer:
    """429 of a model for which this project has no quota at all: "limit: 0"."""
    return _quota(_FREE_DAY, _FREE_REQUESTS, "0", model, "12.5s", False)


def capacity_exhausted(model: str = "gemini-3.1-pro-preview") -> Answer:
    """429 because the model, not the key, is short of capacity (gemini-cli switches models on it)."""
    return error(
        429,
        "RESOURCE_EXHAUSTED",
        f"No capacity available for model {model} on the server",
        [error_info("MODEL_CAPACITY_EXHAUSTED", model=model)],
    )


def _quota(quota_id: str, metric: str, value: str, model: str, retry_delay: str | None, wrapped: bool) -> Answer:
    metric = f"generativelanguage.googleapis.com/{metric}"
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: "
        f"https://ai.dev/rate-limit. \n* Quota exceeded for metric: {metric}, limit: {value}, model: {model}"
    )
    violation = {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }
    details: list[JsonObject] = [
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [
                {
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }
            ],
        },
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
    ]
    if retry_delay is not None:
        message += f"\nPlease retry in {_in_words(retry_delay)}."
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay})
    return error(429, "RESOURCE_EXHAUSTED", message, details, wrapped=wrapped)


def _in_words(delay: str) -> str:
    """A protobuf duration as the words of an error tell it: ``6776.5s`` is ``1h52m56.5s``."""
    seconds = delay.removesuffix("s")
    whole, _, fraction = seconds.partition(".")
    if not whole.isdigit() or int(whole) < 60:
        return delay
    minutes, rest = divmod(int(whole), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest}" + (f".{fraction}s" if fraction else "s")


def _base_model(model: str) -> str:
    """The name that quotas know an embedding model by."""
    return "gemini-embedding-1.0" if model == "gemini-embedding-001" else model


def api_key_invalid(*, details: bool = True) -> Answer:
    """400 for a key that does not count any more.

    :param details: False leaves only the words, as some answers do.
    """
    refusal = api_key_invalid_refusal()
    return error(400, "INVALID_ARGUMENT", refusal.message, list(refusal.details) if details else [])


def api_key_expired() -> Answer:
    """400 for an expired key."""
    words = "API key expired. Please renew the API key."
    return error(400, "INVALID_ARGUMENT", words, [error_info("API_KEY_INVALID")])


def unauthenticated() -> Answer:
    """401 for an access token that does not count."""
    words = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return error(401, "UNAUTHENTICATED", words, [error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")])


def permission_denied(
    message: str = "Your API key was reported as leaked. Please use another API key.", *, reason: str | None = None
) -> Answer:
    """403, of the credential by default.

    :param reason: of a google.rpc.ErrorInfo (``SERVICE_DISABLED``, ``CONSUMER_SUSPENDED``), if there shall be one.
    """
    return error(403, "PERMISSION_DENIED", message, [error_info(reason)] if reason else [])


def service_disabled(project: str = "123456789") -> Answer:
    """403 while the API is not enabled in the key's project."""
    message = (
        f"Generative Language API has not been used in project {project} before or it is disabled. Enable it by "
        "visiting https://console.developers.google.com/apis/api/generativelanguage.googleapis.com/overview?project="
        f"{project} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to "
        "our systems and retry."
    )
    return permission_denied(message, reason="SERVICE_DISABLED")


def model_retired(model: str = "gemini-2.5-flash") -> Answer:
    """404 for a model that new projects cannot use any more."""
    return error(
        404,
        "NOT_FOUND",
        f"This model models/{model} is no longer available to new users. Please update your code to use a newer model "
        "for the latest features and improvements.",
    )


def location_not_supported() -> Answer:
    """400 FAILED_PRECONDITION for the region of the caller: no key helps."""
    return error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")


def unavailable() -> Answer:
    """503 under load."""
    return error(
        503,
        "UNAVAILABLE",
        "This model is currently experiencing high demand. Spikes in demand are usually temporary. "
        "Please try again later.",
    )


def internal() -> Answer:
    """500."""
    return error(
        500,
        "INTERNAL",
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    )


def html(http_status: int = 502) -> Answer:
    """An HTML page of a proxy or load balancer in between."""
    page = f"<!DOCTYPE html><html lang=en><title>Error {http_status} (Server Error)!!1</title></html>"
    return raw(page.encode(), content_type="text/html; charset=UTF-8", http_status=http_status)


def raw(
    *pieces: bytes,
    content_type: str = "text/event-stream",
    http_status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """These bytes, whatever they are: ``raw(b"data: {", b"}\\r\\n", b"\\r\\n").delivered(between_s=0.01)``.

    :param pieces: a write each, and an HTTP chunk each; cut them anywhere.
    :param headers: more of them.
    """
    return Answer(http_status=http_status, body=pieces, content_type=content_type, headers=headers)

"""What the fake says when it refuses a request, in Google's words and shape.

Wire: https://cloud.google.com/apis/design/errors and google/rpc/error_details.proto.
"""

from typing import Any

JsonObject = dict[str, Any]

STATUS_OF = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refusal(Exception):
    """Google would answer this request with an error.

    :param message: Google's own words, as they go on the wire.
    :param details: google.rpc messages, each with its ``@type``.
    :param why: a word to the author of a test, never sent: what exactly was wrong, where Google's words hide it.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int = 400,
        status: str | None = None,
        details: tuple[JsonObject, ...] = (),
        why: str = "",
    ) -> None:
        super().__init__(f"{message.strip()} [{why}]" if why else message.strip())
        self.message = message
        self.http_status = http_status
        self.status = status or STATUS_OF.get(http_status, "UNKNOWN")
        self.details = details
        self.why = why

    def body(self) -> JsonObject:
        """The JSON of the answer."""
        return error_body(self.http_status, self.status, self.message, self.details)


def error_body(
    http_status: int, status: str | None, message: str, details: tuple[JsonObject, ...] | list[JsonObject] = ()
) -> JsonObject:
    """``{"error": {"code", "message", "status", "details"?}}``, without what is None or empty."""
    error: JsonObject = {"code": http_status, "message": message}
    if status is not None:
        error["status"] = status
    if details:
        error["details"] = list(details)
    return {"error": error}


def bad_request(violations: list[tuple[str, str]]) -> Refusal:
    """A refusal for (field path, description) pairs: the message joins the descriptions, one a line."""
    fields = [{"field": path, "description": words} if path else {"description": words} for path, words in violations]
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}
    return Refusal("\n".join(words for _, words in violations), details=(detail,))


def field_error(path: str, words: str) -> Refusal:
    """The starred form in which Gemini's own checks name a field: ``* GenerateContentRequest.contents: ...``."""
    return Refusal(f"* GenerateContentRequest.{path}: {words}\n")


class FieldErrors:
    """Starred findings of one check, told together, as Google does (agno-agi/agno issue 2112 shows several).

    :param message: the name of the request's message.
    """

    def __init__(self, message: str = "GenerateContentRequest") -> None:
        self._message = message
        self._lines: list[str] = []

    def add(self, path: str, words: str) -> None:
        """Note one finding."""
        self._lines.append(f"* {self._message}.{path}: {words}\n")

    def refuse_if_any(self) -> None:
        """Raise the refusal that names them all.

        :raises Refusal: there were some.
        """
        if self._lines:
            raise Refusal("".join(self._lines))


def error_info(reason: str, **metadata: str) -> JsonObject:
    """A google.rpc.ErrorInfo of the Gemini API."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com", **metadata},
    }


def api_key_invalid_refusal() -> Refusal:
    """A key that Google does not know: HTTP 400, not 401."""
    message = "API key not valid. Please pass a valid API key."
    localized = {
        "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
        "locale": "en-US",
        "message": message,
    }
    return Refusal(message, details=(error_info("API_KEY_INVALID"), localized))


def unregistered_refusal() -> Refusal:
    """No key at all."""
    return Refusal(
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
        http_status=403,
    )


def model_not_found_refusal(model: str, method: str) -> Refusal:
    """A model that this API version does not have."""
    return Refusal(
        f"models/{model} is not found for API version v1beta, or is not supported for {method}. "
        "Call ListModels to see the list of available models and their supported methods.",
        http_status=404,
    )

"""Native Gemini: how an error looks to its clients.

Wire: https://google.aip.dev/193 (google.rpc.Status in an ``error`` object); the key ``error`` comes first, for the
Python SDK looks for it at the start of a stream's data.
"""

from typing import Any

from agproxy.errors import GatewayError

NAME = "gemini"

# google.rpc.Code names by HTTP status: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def encode_error(error: Exception) -> dict[str, Any]:
    """The error object, with the google.rpc word for the status."""
    if not isinstance(error, GatewayError):
        error = GatewayError("agproxy failed; its log says why")
    status = _STATUSES.get(error.status, "INTERNAL")
    return {"error": {"code": error.status, "message": error.message, "status": status}}

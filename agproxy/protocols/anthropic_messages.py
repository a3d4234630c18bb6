"""Anthropic Messages: how an error looks to its clients.

Wire: https://platform.claude.com/docs/en/api/errors
"""

from typing import Any

from agproxy.errors import GatewayError

NAME = "anthropic_messages"

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def encode_error(error: Exception) -> dict[str, Any]:
    """The error object; other 4xx are ``invalid_request_error``, other 5xx ``api_error``."""
    if not isinstance(error, GatewayError):
        error = GatewayError("agproxy failed; its log says why")
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}

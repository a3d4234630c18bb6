"""Every error agproxy raises, as one tree.

::

    GatewayError
    ├── ConfigError                 the INI is wrong: stops the start, or keeps the old settings
    ├── BadRequest            400   the client's request is wrong
    │   ├── PayloadTooLarge   413
    │   └── UnsupportedMedia  415
    ├── Unauthorized          401   agproxy's own key is missing or wrong
    ├── Forbidden             403   the caller, its Host or its Origin may not use agproxy
    ├── NotFound              404   no such path
    │   ├── ModelNotFound     404   no such model
    │   └── NotStored         404   nothing is stored under this id
    ├── MethodNotAllowed      405
    ├── NoWebSocket           426   the path is served over plain HTTP only
    ├── PoolUnavailable       429   no account may be used now (503 when none is usable at all)
    ├── Stopping              503   agproxy is being stopped
    ├── ClientGone            499   nobody waits for the answer any more
    └── UpstreamError         502   the model service failed
        ├── UpstreamUnreachable  502   no connection, or it broke before the answer
        ├── UpstreamTimeout      504   connected, but silent for too long
        ├── UpstreamCut          502   the answer stopped before its end
        ├── UpstreamRefusal      --    an HTTP error of the service, with its own words
        └── UnusableAnswer       502   an answer, but an empty or malformed one

``status`` is the HTTP status the client sees. ``param`` names the request field at fault, ``code`` is a short word
for programs, ``retry_after_s`` (seconds) becomes ``Retry-After``. How an error looks on the wire is the business
of ``protocols/*.encode_error``.
"""

import re
from collections.abc import Iterable
from typing import Any

# Google API keys: "AIza" and 35 more, or the newer "AQ." form. Google itself echoes keys in some messages
# ("Consumer 'api_key:AIza...' has been suspended").
_KEY = re.compile(r"AIza[0-9A-Za-z_\-]{20,}|AQ\.[0-9A-Za-z_\-.]{20,}|ya29\.[0-9A-Za-z_\-.]{20,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without the given secrets and without anything that looks like a Google key or access token."""
    for secret in secrets:
        if len(secret) >= 6:
            text = text.replace(secret, "[redacted]")
    return _KEY.sub("[redacted]", text)


class GatewayError(Exception):
    """What all errors of agproxy derive from.

    :param param: the request field at fault, as a path: ``messages[2].content``.
    :param code: a short machine-readable word; the class has a default.
    :param retry_after_s: seconds after which a retry may work, or None.
    :ivar retry_at: the same as a point in time (Unix seconds), where that is known.
    """

    status = 500
    default_code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code
        self.retry_after_s = retry_after_s
        self.retry_at: float | None = None


class ConfigError(GatewayError):
    """The configuration cannot be used; the message names file, line, section and option."""


class BadRequest(GatewayError):
    """The client's request is wrong; ``param`` names the field where there is one."""

    status = 400


class PayloadTooLarge(BadRequest):
    """The body is over ``max_body_bytes``."""

    status = 413
    default_code = "request_too_large"


class UnsupportedMedia(BadRequest):
    """The body is of a content type or coding that this path does not take."""

    status = 415
    default_code = "unsupported_media_type"


class Unauthorized(GatewayError):
    """agproxy's own key is missing or wrong."""

    status = 401
    default_code = "invalid_api_key"


class Forbidden(GatewayError):
    """This caller, Host or Origin may not use agproxy."""

    status = 403
    default_code = "forbidden"


class NotFound(GatewayError):
    """agproxy does not serve this path."""

    status = 404
    default_code = "not_found"


class ModelNotFound(NotFound):
    """No model of this name can be served."""

    default_code = "model_not_found"


class NotStored(NotFound):
    """Nothing is stored under an id, or not any more."""

    default_code = "not_stored"


class MethodNotAllowed(GatewayError):
    """The path exists, but not with this method.

    :param allow: the methods it takes.
    """

    status = 405
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class NoWebSocket(GatewayError):
    """A WebSocket was asked for where there is plain HTTP only.

    Codex CLI 0.169 tries one first where it is used with ``openai_base_url``. For this status it goes over to HTTP at
    once; for 404 and 405 it tries seven times, for 400 it gives up.
    """

    status = 426
    default_code = "websocket_not_supported"


class PoolUnavailable(GatewayError):
    """No account of the pool may be used for this model now.

    :param status: 429 while accounts cool down, 503 when none is usable at all.
    """

    default_code = "no_account_available"

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status


class Stopping(GatewayError):
    """agproxy is being stopped; whoever takes its place will answer."""

    status = 503
    default_code = "stopping"

    def __init__(self) -> None:
        super().__init__("agproxy is being stopped; try again", retry_after_s=1.0)


class ClientGone(GatewayError):
    """Nobody waits for the answer any more.

    Wire: 499 is google.rpc's CANCELLED, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto.
    """

    status = 499
    default_code = "client_gone"

    def __init__(self) -> None:
        super().__init__("the client closed its side of the connection before the answer was there")


class UpstreamError(GatewayError):
    """The model service failed; what it means for the attempt is for ``retry.decide`` to say."""

    status = 502
    default_code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or it broke before the answer began."""

    default_code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The service was silent for too long."""

    status = 504
    default_code = "upstream_timeout"


class UpstreamCut(UpstreamError):
    """The answer stopped before its end, or was not what the protocol promises."""

    default_code = "upstream_cut"


class UnusableAnswer(UpstreamError):
    """The service answered, but with nothing that can be handed on.

    :param finish_reason: the service's own word for it, or None when there was none.
    """

    default_code = "upstream_unusable_answer"

    def __init__(self, message: str, *, finish_reason: str | None = None) -> None:
        super().__init__(message)
        self.finish_reason = finish_reason


class UpstreamRefusal(UpstreamError):
    """An HTTP error of the service.

    :param status: its HTTP status.
    :param reason: google.rpc status word (``RESOURCE_EXHAUSTED``), or None.
    :param error_reasons: ``reason`` of each google.rpc.ErrorInfo in the details (``API_KEY_INVALID``).
    :param quota_ids: ``quotaId`` of each violation in google.rpc.QuotaFailure, and what other answers name instead:
        ``quota_limit`` of google.rpc.ErrorInfo, or the limit in the message.
    :param details: all of the details, for clients that speak the service's language.

    Wire: https://cloud.google.com/apis/design/errors, google/rpc/error_details.proto.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        reason: str | None = None,
        error_reasons: tuple[str, ...] = (),
        quota_ids: tuple[str, ...] = (),
        details: tuple[dict[str, Any], ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        self.reason = reason
        self.error_reasons = error_reasons
        self.quota_ids = quota_ids
        self.details = details

"""What a failed attempt means: try again, with whom, and who has to rest.

Pure: the gateway acts on a :class:`Verdict`; the table stands in README, "When Google says no".
"""

import re
from dataclasses import dataclass
from typing import Literal

from agproxy.errors import (
    BadRequest,
    GatewayError,
    UnusableAnswer,
    UpstreamCut,
    UpstreamError,
    UpstreamRefusal,
    UpstreamUnreachable,
)

Action = Literal["same", "next", "elsewhere", "mend", "give_up"]
Scope = Literal["nothing", "quota", "model", "account"]

MAX_COOLDOWN_S = 3600.0  # what a hint may ask for; only PerDay lasts longer
FIRST_COOLDOWN_S = 5.0
_MIN_HINT_S = 0.1  # "retry in 0s" has just not worked
OTHER_403_S = 60.0
_BACKOFF_S = 0.4  # doubles with each; 3 attempts back off for about a second in all

# google.rpc.ErrorInfo.reason of https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
_CREDENTIAL_REASONS = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_ANDROID_APP_BLOCKED",
        "API_KEY_IOS_APP_BLOCKED",
        "SERVICE_DISABLED",
        "SERVICE_NOT_VISIBLE",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "USER_PROJECT_DENIED",
        "ACCESS_TOKEN_EXPIRED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "ACCOUNT_STATE_INVALID",
        "CREDENTIALS_MISSING",
        "UNSUPPORTED_TOKEN_TYPE",
    }
)
# At its beginning only: further on a message may quote the client.
_KEY_IN_400 = re.compile(r"\W{0,3}(api[ _]key (not valid|not found|expired|is invalid)|api_key_invalid)", re.IGNORECASE)
# What the message quotes, which may be anything that the client sent.
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
_CREDENTIAL_IN_403 = re.compile(
    r"api[ _-]?key|credential|suspended|leaked|billing|has not been used in project|is disabled|are blocked"
    r"|unregistered callers|consumer|denied access|authentication",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"token count\b.{0,40}\bexceeds the maximum number of tokens", re.IGNORECASE)
_FILE_IN_403 = re.compile(r"\bfiles?[ /]|cached ?content", re.IGNORECASE)
_CLIENTS_FAULT = (400, 413, 415, 422)
_DAILY = re.compile(r"per_?day|daily", re.IGNORECASE)
_NO_QUOTA = re.compile(r"\blimit: 0\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a failed attempt.

    :param action: ``same`` account again, ``next`` account, one that lists the model (``elsewhere``), the same with a
        mended request (``mend``), or ``give_up``.
    :param scope: who rests: the ``quota`` of (project, model), (account, ``model``), or the ``account`` altogether.
    :param cooldown_s: for how long; None grows with each failure in a row.
    :param until_midnight: rests until the next midnight US Pacific instead.
    :param backoff_s: wait this long before the next attempt.
    """

    action: Action
    scope: Scope = "nothing"
    cooldown_s: float | None = None
    until_midnight: bool = False
    backoff_s: float = 0.0


@dataclass(slots=True)
class History:
    """What has happened to one request so far, by kind of failure."""

    same_account: int = 0  # failures of the account in use that call for one more try with it
    transient: int = 0
    unusable: int = 0
    silent: int = 0


def decide(error: UpstreamError, history: History, *, mendable: bool) -> Verdict:
    """The verdict on ``error``; counts it in ``history``.

    :param mendable: the request can be changed so that this error does not come again.
    """
    if isinstance(error, UpstreamRefusal):
        return _decide_refusal(error, history, mendable=mendable)
    if isinstance(error, UnusableAnswer | UpstreamCut):
        history.unusable += 1
        out_of_tokens = isinstance(error, UnusableAnswer) and error.finish_reason == "MAX_TOKENS"
        return Verdict("give_up" if out_of_tokens or history.unusable > 1 else _same_once(history))
    if isinstance(error, UpstreamUnreachable):
        return Verdict(_same_once(history), backoff_s=_backoff(history))
    history.silent += 1  # minutes have gone by; clients have no patience for a third time
    return Verdict("give_up" if history.silent > 1 else "next")


def _decide_refusal(error: UpstreamRefusal, history: History, *, mendable: bool) -> Verdict:
    status = error.status
    if is_credential_fault(error):
        return Verdict("next", "account")
    if status == 400:
        return Verdict("mend" if mendable else "give_up")
    if status == 403:
        return Verdict("give_up") if _FILE_IN_403.search(error.message) else Verdict("next", "model", OTHER_403_S)
    if status == 404:
        return Verdict("elsewhere")
    if status in (429, 499) and "MODEL_CAPACITY_EXHAUSTED" not in error.error_reasons:
        return _quota(error)
    if status in (429, 503, 504, 529):
        return Verdict("next", backoff_s=_backoff(history))
    if status >= 500:
        return Verdict(_same_once(history), backoff_s=_backoff(history))
    return Verdict("give_up")


def _quota(error: UpstreamRefusal) -> Verdict:
    """PerDay counts before the hint: Google offers short delays for daily quotas too."""
    if any(_DAILY.search(quota_id) for quota_id in error.quota_ids):
        return Verdict("next", "quota", until_midnight=True)
    if _NO_QUOTA.search(error.message):
        return Verdict("next", "quota", MAX_COOLDOWN_S)
    hint = error.retry_after_s
    useless = hint is None or hint < _MIN_HINT_S
    return Verdict("next", "quota", None if useless else min(hint or 0.0, MAX_COOLDOWN_S))


def _same_once(history: History) -> Action:
    """The same account gets one more try, whatever failed; then it is another's turn."""
    history.same_account += 1
    return "same" if history.same_account == 1 else "next"


def _backoff(history: History) -> float:
    history.transient += 1
    return _BACKOFF_S * 2.0 ** (history.transient - 1)


def growing_cooldown_s(failures: int) -> float:
    """How long the quota rests after ``failures`` (from 1) refusals in a row that named no delay: 5, 10, 20 ... s."""
    return min(FIRST_COOLDOWN_S * 2.0 ** min(failures - 1, 10), MAX_COOLDOWN_S)


def outage_s(failures: int) -> float:
    """How long an account stays out after ``failures`` (from 1) refusals of its credential: 60 s doubling to 1 h."""
    return min(60.0 * 2.0 ** min(failures - 1, 10), 3600.0)


def is_credential_fault(error: UpstreamRefusal) -> bool:
    """Whether the account's key, project or billing is at fault, and not this request."""
    if error.status == 401 or not _CREDENTIAL_REASONS.isdisjoint(error.error_reasons):
        return True
    if error.status == 400:
        return _KEY_IN_400.match(error.message) is not None
    if error.status == 403:
        words = unquoted(error.message)
        return _FILE_IN_403.search(words) is None and _CREDENTIAL_IN_403.search(words) is not None
    return False


def unquoted(message: str) -> str:
    """A message of the service without what it quotes, which may be the words of one client, meant for no other."""
    return _QUOTED.sub("'...'", message)


def client_error(error: UpstreamError) -> GatewayError:
    """The last cause as the client should see it: its status, but never one that blames the client's own key."""
    if isinstance(error, UnusableAnswer) and error.finish_reason == "MAX_TOKENS":
        return BadRequest(error.message, param="max_completion_tokens", code="max_tokens_too_low")
    if not isinstance(error, UpstreamRefusal):
        return error
    if is_credential_fault(error) or error.status in (401, 403):
        if error.status == 403 and _FILE_IN_403.search(error.message):
            return BadRequest(error.message, code="upstream_refused_file")
        return UpstreamError(
            "the model service refused the credentials of agproxy's pool (not your key; the operator of agproxy can"
            f" see which in its log): {error.message}",
            code="upstream_credentials",
        )
    if error.status == 404:
        error.code = "model_not_found"
        error.param = "model"
    elif error.status in (429, 499):
        error.status = 429
        error.code = "rate_limit_exceeded"
    elif error.status in _CLIENTS_FAULT:
        too_long = error.status == 400 and _TOO_LONG.search(error.message)
        # OpenAI's word, by which clients know that they must shorten the conversation.
        error.code = "context_length_exceeded" if too_long else (error.reason or "upstream_error").lower()
    elif error.status < 500:  # of a proxy in between, say; nothing that the client could mend
        told = f"the model service answered HTTP {error.status}"
        return UpstreamError(error.message if error.message.startswith(told) else f"{told}: {error.message}")
    return error

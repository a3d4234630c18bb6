"""Faults of accounts: quotas that are used up, accounts that come and go, keys that are revoked."""

from datetime import datetime
from zoneinfo import ZoneInfo

from tests.fake_google import (
    Answer,
    api_key_invalid,
    by_key,
    in_turn,
    internal,
    permission_denied,
    quota_per_day,
    quota_per_minute,
    slow,
    unauthenticated,
    unavailable,
)
from tests.faults.connection_faults import Arrange, always
from tests.faults.stage import GOOD, WHOLE, Fault, Stage, broken, refused

_REVOKED = "the model service refused the credentials of agproxy's pool"
_FREE_AGAIN = "free again in"
_BUSY = "high demand"
_PACIFIC = ZoneInfo("America/Los_Angeles")
_SHORT = quota_per_minute("0.3s")


def _pool(arrange: Arrange, *, accounts: str = "ab", max_wait_s: float = 0.0, ping_s: float = 20.0) -> Arrange:
    """The same, with these accounts."""

    def arranged(stage: Stage) -> None:
        stage.accounts = dict.fromkeys(accounts, stage.google.url)
        stage.max_wait_s = max_wait_s
        arrange(stage)
        stage.set(max_attempts=3, ping_s=ping_s)

    return arranged


def _failing(answer: Answer, names: str) -> Arrange:
    """These accounts get this, all others are answered."""
    return always(by_key({f"test-key-{name}": answer for name in names}, GOOD), attempts=3)


def _meanwhile(answer: Answer, names: str) -> Arrange:
    """All is well at first; then these accounts get this."""

    def arrange(stage: Stage) -> None:
        stage.warm_up(2)
        _failing(answer, names)(stage)

    return arrange


def _for_a_while(stage: Stage) -> None:
    """All accounts are refused once, for a short time."""
    stage.google.enqueue(_SHORT, key="test-key-a")
    stage.google.enqueue(_SHORT, key="test-key-b")


def _flapping(answer: Answer) -> Arrange:
    """Each account fails with every second request."""

    def arrange(stage: Stage) -> None:
        turns = {"test-key-a": in_turn(answer, GOOD), "test-key-b": in_turn(GOOD, answer)}
        stage.google.default = by_key(turns, GOOD)

    return arrange


def _midnight(year: int, month: int, day: int) -> Arrange:
    """The quota of a day is used up at half past midnight, and there again when the next day begins in California."""

    def arrange(stage: Stage) -> None:
        begin = datetime(year, month, day, 0, 30, tzinfo=_PACIFIC)
        now = [begin.timestamp()]
        stage.clock = lambda: now[0]
        stage.google.default = quota_per_day()
        stage.see(refused(429, _FREE_AGAIN))
        now[0] = begin.replace(hour=23, minute=59).timestamp()
        stage.see(refused(429, "free again in 61 s"))
        now[0] += 61
        stage.google.default = GOOD

    return arrange


ACCOUNT_FAULTS: tuple[Fault, ...] = (
    Fault("429 on one account of two", _pool(_failing(quota_per_minute("30s"), "a")), WHOLE, requests=6, at_once=True),
    Fault(
        "429 on two accounts of three",
        _pool(_failing(quota_per_minute("30s"), "ab"), accounts="abc"),
        WHOLE,
        requests=6,
        at_once=True,
    ),
    Fault(
        "429 on all accounts",
        _pool(always(quota_per_minute("30s"))),
        refused(429, _FREE_AGAIN),
        requests=6,
        at_once=True,
    ),
    Fault("429 on all accounts for the day", _pool(always(quota_per_day())), refused(429, _FREE_AGAIN), requests=2),
    Fault("429 on all accounts for a moment", _pool(_for_a_while, max_wait_s=10), WHOLE, requests=4, at_once=True),
    Fault(
        "429 on all accounts, after pings",
        _pool(always(slow(quota_per_minute("30s"), headers_s=1.2)), ping_s=0.1),
        refused(429, _FREE_AGAIN),
        broken(429, _FREE_AGAIN),
    ),
    Fault("midnight Pacific passes", _pool(_midnight(2026, 1, 15)), WHOLE),
    Fault("midnight Pacific passes after 23 hours", _pool(_midnight(2026, 3, 8)), WHOLE),
    Fault("midnight Pacific passes after 25 hours", _pool(_midnight(2026, 11, 1)), WHOLE),
    Fault("503 on one account of two", _pool(_failing(unavailable(), "a")), WHOLE, requests=2),
    Fault("503 on all accounts", _pool(always(unavailable()), accounts="ab"), refused(503, _BUSY)),
    Fault("accounts that flap between 429 and answers", _pool(_flapping(_SHORT), max_wait_s=10), WHOLE, requests=4),
    Fault("accounts that flap between 503 and answers", _pool(_flapping(unavailable())), WHOLE, requests=4),
    Fault("accounts that flap between 500 and answers", _pool(_flapping(internal())), WHOLE, requests=2),
    Fault("key revoked meanwhile", _pool(_meanwhile(api_key_invalid(), "a")), WHOLE, requests=4),
    Fault("key leaked and blocked meanwhile", _pool(_meanwhile(permission_denied(), "a")), WHOLE, requests=4),
    Fault("all keys revoked meanwhile", _pool(_meanwhile(api_key_invalid(), "ab")), refused(502, _REVOKED)),
    Fault("all tokens refused meanwhile", _pool(_meanwhile(unauthenticated(), "ab")), refused(502, _REVOKED)),
)

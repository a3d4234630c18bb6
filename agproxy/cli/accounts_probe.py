"""``agproxy accounts test``: ask Google whether accounts work, by calls that cost nothing of their quota.

The list of models shows that a key is valid and its project may use the API; counting tokens, that a model is there for
it: "no charge or quota restriction", https://ai.google.dev/gemini-api/docs/tokens. Only an answer of the model, which
does cost, shows that there is quota left and that the place called from is served.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

from agproxy import asks, models, retry
from agproxy.accounts import duration
from agproxy.cancel import Cancel
from agproxy.cli import load_config
from agproxy.cli.accounts_edit import named
from agproxy.cli.accounts_list import is_in_memory, opened, until, wanted_model
from agproxy.config import Account, Config
from agproxy.errors import BadRequest, UpstreamCut, UpstreamError, UpstreamRefusal, redact
from agproxy.jsonwire import decode_object
from agproxy.models import Listed
from agproxy.pauses import Pauses, next_midnight_pacific
from agproxy.store import Store
from agproxy.transport import Transport
from agproxy.upstreams import UPSTREAMS

_TIMEOUT_S = 30.0
_QUESTION = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
_CALL = _QUESTION[:-1] + b',"generationConfig":{"maxOutputTokens":16}}'


@dataclass(slots=True)
class Outcome:
    """What a test has shown so far.

    :ivar shown: what works, in words.
    :ivar problem: what does not; empty = nothing has failed.
    :ivar is_open: whether that does not tell if the key is good.
    :ivar follows: what agproxy does when a request fails so.
    :ivar is_key_good: whether the key was accepted, and not refused later.
    :ivar model: that which has answered; empty = none was asked to.
    :ivar ms: how long all calls took.
    """

    shown: list[str] = field(default_factory=list)
    problem: str = ""
    is_open: bool = False
    follows: str = ""
    is_key_good: bool = False
    model: str = ""
    ms: float = 0.0


def run(args: argparse.Namespace) -> int:
    """Test the accounts that are named, or all that are not disabled."""
    config = load_config(args.config, os.environ)
    accounts = [named(config, name) for name in dict.fromkeys(args.names)] or list(config.accounts)
    width = max(len(account.name) for account in accounts)
    store, transport = opened(config, os.environ), transport_of(config)
    try:
        model = wanted_model(config, store, args.model) if args.model else ""
        all_fine = True
        for account in accounts:
            if not account.enabled and not args.names:
                print(f"{account.name:{width}}  off     not tested; name it to test it")
                continue
            begun = time.time()
            outcome = probe(account, transport, model=model, calls=args.call)
            cleared = clear(config, account, outcome, store, since=begun)
            all_fine = all_fine and not outcome.problem
            word = "FAILED" if outcome.problem else "ok"
            follows = [outcome.follows] if outcome.follows else []
            print(f"{account.name:{width}}  {word:6}  {'; '.join([*words(outcome), *follows, *cleared])}", flush=True)
    finally:
        transport.close()
        store.close()
    if is_in_memory(config, os.environ):
        print("note: state is in memory, so the pauses of a running agproxy, if any, stay")
    return 0 if all_fine else 1


def transport_of(config: Config) -> Transport:
    """Connections as the service makes them."""
    upstream = config.upstream
    return Transport(connect_timeout_s=upstream.connect_timeout_s, proxy=upstream.proxy, ca_bundle=upstream.ca_bundle)


def probe(account: Account, transport: Transport, *, model: str = "", calls: bool = False) -> Outcome:
    """Test one account.

    :param model: the one to ask for; empty = a usual one that the account may be asked for.
    :param calls: let it answer, too.
    """
    outcome = Outcome()
    upstream = UPSTREAMS[account.type]
    if account.problem:
        outcome.problem = f"it is out: {account.problem}"
    elif hasattr(upstream, "play"):
        outcome.shown.append("its answers are made up here; nobody is called")
    else:
        begun = time.monotonic()
        _test(_Tester(account, upstream, transport), outcome, model=model, calls=calls)
        outcome.ms = (time.monotonic() - begun) * 1000
    return outcome


def words(outcome: Outcome) -> list[str]:
    """What was shown and what failed, each in words."""
    is_open = "this does not tell whether the key is good" if outcome.is_open else ""
    took = f"{outcome.ms:.0f} ms" if outcome.ms else ""
    return [*outcome.shown, *filter(None, [outcome.problem, is_open, took])]


def clear(config: Config, account: Account, outcome: Outcome, store: Store, *, since: float) -> list[str]:
    """Forget the rests of an account that the test has shown to be over; what was done, in words.

    :param since: when the test began, in Unix seconds.
    """
    if not outcome.is_key_good:
        return []
    pauses = Pauses(config.accounts, store, started=0.0)
    before = pauses.all_of(account, since)
    pauses.forget(account)
    if outcome.model:
        pauses.clear(account, model=asks.ANSWER.quota(outcome.model), since=since)
    left = pauses.all_of(account, since)
    over = [rest for rest in before if rest not in left]
    return [f"it rests no longer for {rest.model}" if rest.model else "it rests no longer" for rest in over]


# The calls.


@dataclass(frozen=True, slots=True)
class _Tester:
    """Calls with one account's key."""

    account: Account
    upstream: ModuleType
    transport: Transport

    def listed(self) -> list[Listed]:
        """The models that Google lists; the first page holds all, a thousand."""
        url = self.upstream.models_endpoint(self.account.base_url)
        try:
            page = decode_object(self._body(url, None))
        except BadRequest as error:
            raise UpstreamCut(f"what answers at {self.account.base_url} is not the Gemini API") from error
        found, _ = self.upstream.decode_models(page)
        names = [str(model["name"]).removeprefix("models/") for model in found]
        return [Listed(name, "", name, model) for name, model in zip(names, found, strict=True)]

    def count(self, model: str) -> None:
        """Let the tokens of a short question be counted."""
        body = self.upstream.encode_count(_QUESTION, model)
        self.upstream.decode_count(self._body(self.upstream.count_endpoint(self.account.base_url, model), body))

    def call(self, model: str) -> None:
        """Let a short question be answered."""
        self._body(self.upstream.endpoint(self.account.base_url, model, stream=False), _CALL)

    def _body(self, url: str, body: bytes | None) -> bytes:
        headers = self.upstream.headers(self.account.api_key)
        if body is None:
            answer = self.transport.get(url, headers, timeout_s=_TIMEOUT_S)
        else:
            answer = self.transport.post(url, headers, body, timeout_s=_TIMEOUT_S, cancel=Cancel())
        if answer.status != 200:
            raise self.upstream.decode_error(answer.status, answer.headers, answer.error_body(), now=time.time())
        try:
            return b"".join(answer.chunks())
        finally:
            answer.close()


def _test(tester: _Tester, outcome: Outcome, *, model: str, calls: bool) -> None:
    step, quota = "the models cannot be listed", ""
    try:
        listed = tester.listed()
        outcome.is_key_good = True
        outcome.shown.append(f"key accepted, {len(listed)} models listed")
        model = model or _usual(tester.account, listed)
        if not model or not tester.account.serves(model):
            which = f"{model} may not" if model else "none of them may"
            outcome.shown.append(f"{which} be asked for, by 'models' of the account")
            return
        step, quota = f"{model} cannot count tokens", asks.COUNT.quota(model)
        tester.count(model)
        outcome.shown.append(f"{model} is there")
        if calls:
            step, quota = f"{model} does not answer", asks.ANSWER.quota(model)
            tester.call(model)
            outcome.shown.append("it answers")
            outcome.model = model
    except UpstreamError as error:
        message = redact(" ".join(error.message.split()), [tester.account.api_key])[:300]
        is_about_key = isinstance(error, UpstreamRefusal) and retry.is_credential_fault(error)
        outcome.problem = f"{'Google refuses the key' if is_about_key else step}: {message}"
        outcome.is_open = not outcome.is_key_good and not is_about_key
        outcome.is_key_good = outcome.is_key_good and not is_about_key  # it may be good for some calls only
        outcome.follows = _follows(error, quota)


def _usual(account: Account, listed: Sequence[Listed]) -> str:
    """A model that the account may be asked for, a usual one if there is one."""
    usual = (models.FLASH, models.LITE, models.PRO)
    names = [*usual, *(each.name for each in listed if each.chats)]
    return next((name for name in names if account.serves(name)), "")


def _follows(error: UpstreamError, quota: str) -> str:
    """What agproxy does when a request fails so, in words; empty when the account does not rest for it."""
    verdict = retry.decide(error, retry.History(), mendable=False)
    now = time.time()
    if verdict.scope == "account":
        return f"agproxy leaves it out for {retry.outage_s(1):.0f} s, doubling to 1 h, until the key works"
    if verdict.scope == "nothing":
        return ""
    if verdict.until_midnight:
        return f"agproxy lets it rest {until(next_midnight_pacific(now), now)} for {quota}"
    seconds = retry.growing_cooldown_s(1) if verdict.cooldown_s is None else verdict.cooldown_s
    return f"agproxy lets it rest for {quota} for {duration(seconds)}"

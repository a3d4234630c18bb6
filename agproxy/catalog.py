"""The models that the pool's accounts list, each account's list kept for an hour."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from agproxy.accounts import Pool
from agproxy.config import Account
from agproxy.errors import GatewayError, UpstreamTimeout, redact
from agproxy.jsonwire import decode_object
from agproxy.models import Listed
from agproxy.store import Store
from agproxy.transport import Answer, Transport
from agproxy.upstreams import UPSTREAMS

log = logging.getLogger(__name__)

_TTL_S = 3600.0
_RETRY_S = 60.0  # how long an account that cannot be asked is left alone
_TIMEOUT_S = 10.0
_MAX_PAGES = 10
Model = dict[str, Any]  # https://ai.google.dev/api/models


class Catalog:
    """Lists of models, by account.

    :param clock: gives Unix seconds.
    """

    def __init__(self, pool: Pool, *, store: Store, transport: Transport, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._store = store
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()

    def listed(self) -> tuple[str, ...]:
        """The names of models that chat, of any account; those of an account that cannot be asked are left out."""
        return tuple(name for name, model in self.models().items() if Listed(name, "", name, model).chats)

    def models(self) -> dict[str, Model]:
        """The models that any account lists and may be asked for, by name, as Gemini describes them."""
        with self._lock:  # whoever comes meanwhile waits for the same lists
            unknown = {
                self._pool.pauses.fingerprint(account): account
                for account in self._pool.accounts
                if self._kept(account) is None
            }
            threads = [threading.Thread(target=self._fetch, args=(account,)) for account in unknown.values()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        found: dict[str, Model] = {}
        for account in self._pool.accounts:
            for model in self._kept(account) or ():
                if account.serves(_name(model)):
                    found.setdefault(_name(model), model)
        return found

    def holds(self, account: Account, model: str) -> bool:
        """Whether the list of the account that was last fetched, if any, holds ``model``."""
        return any(_name(kept) == model for kept in self._kept(account) or ())

    def _kept(self, account: Account) -> list[Model] | None:
        kept: list[Model] | None = self._store.get(f"model_list:{self._pool.pauses.fingerprint(account)}")
        return kept

    def _fetch(self, account: Account) -> None:
        try:
            models, ttl_s = self._fetched(account), _TTL_S
        except GatewayError as error:
            words = redact(" ".join(error.message.split()), [account.api_key])[:300]
            log.warning("cannot list models account=%s error=%s", account.name, words)
            models, ttl_s = [], _RETRY_S
        self._store.put(f"model_list:{self._pool.pauses.fingerprint(account)}", models, ttl_s=ttl_s)

    def _fetched(self, account: Account) -> list[Model]:
        upstream = UPSTREAMS[account.type]
        if hasattr(upstream, "MODELS"):
            return list(upstream.MODELS)
        models: list[Model] = []
        token = ""
        for _ in range(_MAX_PAGES):
            url = upstream.models_endpoint(account.base_url, token)
            answer = self._transport.get(url, upstream.headers(account.api_key), timeout_s=_TIMEOUT_S)
            if answer.status != 200:
                raise upstream.decode_error(answer.status, answer.headers, answer.error_body(), now=self._clock())
            page, token = upstream.decode_models(decode_object(self._whole(answer)))
            models += page
            if not token:
                break
        return models

    def _whole(self, answer: Answer) -> bytes:
        """The body, if it comes in time: others wait for the list.

        :raises UpstreamTimeout: it does not.
        """
        until = self._clock() + _TIMEOUT_S

        def check() -> None:
            if self._clock() > until:
                answer.close()
                raise UpstreamTimeout(f"the list of models did not come within {_TIMEOUT_S:g} s")

        return b"".join(answer.chunks(check))


def _name(model: Model) -> str:
    return str(model["name"]).removeprefix("models/")

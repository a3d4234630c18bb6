"""One configuration at work: the pool, the catalog of models, and what requests need of them."""

from collections.abc import Callable

from agproxy import routing
from agproxy.accounts import Pool
from agproxy.catalog import Catalog
from agproxy.config import Config
from agproxy.store import Store
from agproxy.transport import Transport


class Gateway:
    """One configuration at work.

    :param clock: gives Unix seconds.
    :param new_id: gives a random id of 24 letters and digits.
    :param used: and ``started``: see :class:`~agproxy.accounts.Pool`.
    """

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        transport: Transport,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        used: dict[str, int],
        started: float = 0.0,
    ) -> None:
        self.config = config
        self.store = store
        self.transport = transport
        self.clock = clock
        self.new_id = new_id
        self.used = used
        self.started = started
        self._families = dict(config.families)
        self.pool = Pool(config.accounts, config.scheduling, store, used, started=started)
        self.catalog = Catalog(self.pool, store=store, transport=transport, clock=clock)

    def resolve(self, model: str) -> routing.Resolution:
        """The physical model for the name that a client sent; see :func:`agproxy.routing.resolve`."""
        return routing.resolve(model, rules=self.config.models, listed=self.catalog.listed)

    def resolve_any(self, model: str) -> routing.Resolution:
        """The same among all models that are listed, also those that do not chat."""
        return routing.resolve(model, rules=self.config.models, listed=self.catalog.models)

    def rules_of(self, model: str) -> str:
        """The model whose rules hold for a physical model, by ``[families]``."""
        return self._families.get(model, model)

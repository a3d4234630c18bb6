"""The models that the pool's accounts list, as Google describes them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agproxy.config import Account
from agproxy.errors import ModelNotFound
from tests.scripted import FakeAnswer, World

FLASH: Any = {"name": "models/x-flash", "supportedGenerationMethods": ["generateContent"], "inputTokenLimit": 9}
VECTORS: Any = {"name": "models/x-vectors", "supportedGenerationMethods": ["embedContent"]}
BARE: Any = {"name": "x-bare", "supportedGenerationMethods": ["generateContent"]}


def world_of(*pages: Any, accounts: str = "a") -> World:
    world = World(accounts=accounts)
    world.transport.lists = {name: [FakeAnswer({"models": page})] for name, page in zip(accounts, pages, strict=True)}
    return world


def test_models_are_kept_as_google_describes_them() -> None:
    catalog = world_of([FLASH, VECTORS, BARE]).gateway.catalog
    for _ in range(2):
        assert catalog.models() == {"x-flash": FLASH, "x-vectors": VECTORS, "x-bare": BARE}


def test_account_that_comes_first_describes_a_model() -> None:
    other = {**FLASH, "inputTokenLimit": 5}
    catalog = world_of([FLASH], [other, BARE], accounts="ab").gateway.catalog
    assert catalog.models() == {"x-flash": FLASH, "x-bare": BARE}


def test_only_those_that_chat_are_listed() -> None:
    assert world_of([FLASH, VECTORS, BARE]).gateway.catalog.listed() == ("x-flash", "x-bare")


def test_account_holds_what_it_lists_however_the_name_is_written() -> None:
    world = world_of([FLASH, BARE], [VECTORS], accounts="ab")
    catalog = world.gateway.catalog
    a, b = world.gateway.pool.accounts
    assert not catalog.holds(a, "x-flash")  # before the list is fetched
    catalog.models()
    assert [catalog.holds(a, name) for name in ("x-flash", "x-bare", "x-vectors")] == [True, True, False]
    assert [catalog.holds(b, name) for name in ("x-flash", "x-bare", "x-vectors")] == [False, False, True]


def test_model_that_does_not_chat_is_found_where_any_will_do() -> None:
    gateway = world_of([FLASH, VECTORS]).gateway
    assert gateway.resolve_any("x-vectors").model == "x-vectors"
    assert gateway.resolve("x-flash").model == "x-flash"
    with pytest.raises(ModelNotFound):
        gateway.resolve("x-vectors")


def test_list_that_an_older_version_has_kept_is_no_obstacle() -> None:
    world = world_of([FLASH])
    (account,) = world.gateway.pool.accounts
    world.store.put(f"models:{world.gateway.pool.pauses.fingerprint(account)}", ["x-older"], ttl_s=3600.0)
    assert world.gateway.catalog.listed() == ("x-flash",)
    assert not world.gateway.catalog.holds(account, "x-older")


def test_demo_describes_its_models_too() -> None:
    catalog = World(accounts=(Account("demo", type="demo"),)).gateway.catalog
    assert catalog.models()["gemini-embedding-001"]["supportedGenerationMethods"] == ["embedContent", "countTokens"]
    assert "gemini-embedding-001" not in catalog.listed()
    assert catalog.models()["gemini-flash-latest"]["inputTokenLimit"] == 1048576


def test_list_that_drips_is_not_waited_for() -> None:
    world = World(accounts="ab")
    closed = []

    class Drip(FakeAnswer):
        def chunks(self, before_read: Callable[[], None] = lambda: None) -> Iterator[bytes]:
            while True:
                world.now += 1.0
                before_read()
                yield b" "

        def close(self) -> None:
            closed.append(True)

    world.transport.lists = {"a": [Drip()], "b": [FakeAnswer({"models": [FLASH]})]}
    assert world.gateway.catalog.listed() == ("x-flash",)
    assert closed

"""Tests of the stores. What several of their modules have in common tells values when it fails, as they do."""

import pytest

pytest.register_assert_rewrite(
    "tests.store.contract",
    "tests.store.shared_contract",
    "tests.store.ledger_contract",
    "tests.store.shared_ledger_contract",
)

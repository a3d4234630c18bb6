"""One strict fake Google a module, and agproxy in front of it."""

from collections.abc import Iterator

import pytest

from tests.fake_google import FakeGoogle
from tests.whole_app import WholeApp


@pytest.fixture(scope="module")
def _google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google


@pytest.fixture
def google(_google: FakeGoogle) -> Iterator[FakeGoogle]:
    """The fake; it must not have refused anything by its own rules."""
    _google.reset()
    yield _google
    _google.assert_no_refusals()
    assert _google.pending == 0


@pytest.fixture
def app(google: FakeGoogle) -> WholeApp:
    return WholeApp(google)

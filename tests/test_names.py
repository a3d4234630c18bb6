"""Names that are given out once each."""

import time

import pytest

from agproxy.names import Unused


def test_first_keeps_its_name_and_others_are_numbered() -> None:
    unused = Unused("-")
    assert [unused.take(name) for name in ("a", "a", "b", "a")] == ["a", "a-2", "b", "a-3"]


def test_numbered_name_that_is_taken_is_passed_over() -> None:
    unused = Unused("_", taken=["a_2"])
    assert [unused.take("a"), unused.take("a"), unused.take("a_2")] == ["a", "a_3", "a_2_2"]


@pytest.mark.parametrize("length", [1, 5, 63, 64, 65, 1000])
def test_names_are_cut_and_stay_apart(length: int) -> None:
    unused = Unused("_", max_length=64)
    given = [unused.take("x" * length + end) for end in ("", "", "y", "z", "")]
    assert len(set(given)) == 5
    assert max(map(len, given)) <= 64


def test_many_of_one_name_take_no_longer_than_as_many_names() -> None:
    unused = Unused("-")
    began = time.process_time()
    assert len({unused.take("a") for _ in range(20_000)}) == 20_000
    assert time.process_time() - began < 2

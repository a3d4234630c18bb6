"""Names that must not repeat."""

from collections.abc import Iterable


class Unused:
    """Gives each name out once: one that is taken gets a number.

    However many ask for the same name, each is found in constant time.

    :param separator: what stands before the number.
    :param max_length: longer names are cut.
    :param taken: those that are taken from the start.
    """

    def __init__(self, separator: str, *, max_length: int | None = None, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._separator = separator
        self._max_length = max_length
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """The name, or one made from it."""
        base = given = name[: self._max_length]
        number = self._numbers.get(base, 1)
        while given in self.taken:
            number += 1
            suffix = f"{self._separator}{number}"
            room = None if self._max_length is None else self._max_length - len(suffix)
            given = base[:room] + suffix
        self._numbers[base] = number
        self.taken.add(given)
        return given

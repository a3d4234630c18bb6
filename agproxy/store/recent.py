"""What a process has just read from a store that it shares, or put there: not asked for again so soon."""

import json
from typing import Any

from agproxy.store.shelf import Entry

_STEADY = "session:"  # read and put again by each request, mostly unchanged
_OFTEN = ("rest:", "failures:", "refused:", "schemas:", "model_list:")  # what every request asks for, the same for all
_FRESH_S = 0.25
_MAX_COUNT = 5_000


class Recent:
    """Values that are believed for a quarter of a second. Its owner keeps threads apart where it changes them.

    :ivar is_held: what is known is believed on, for what is shared cannot be read.
    :ivar changes: how often something was put or deleted.
    """

    def __init__(self) -> None:
        self.is_held = False
        self.changes = 0
        self._values: dict[str, tuple[float, Any]] = {}  # by key: end and value
        self._texts: dict[str, tuple[float, str | None]] = {}  # of what is steady: end and text
        self._since = 0.0

    def get(self, key: str, now: float) -> tuple[float, Any] | None:
        """The end of what stands under the key, and its value, which may be None; None when that is to be read."""
        is_over = not self.is_held and not 0 <= now - self._since < _FRESH_S
        if is_over or len(self._values) + len(self._texts) > _MAX_COUNT:
            self._values, self._texts, self._since = {}, {}, now
        return self._values.get(key)

    def was_read(self, key: str, until: float, text: str | None, value: Any, *, asked_at: int) -> None:
        """Remember what was found, unless something has been put since it was asked for: that may be newer.

        :param text: of the value, or None when there is none.
        :param asked_at: the ``changes`` of then.
        """
        if self.changes != asked_at:
            return
        if key.startswith(_STEADY):
            if text is not None:
                self._texts[key] = (until, text)
            if value is not None:  # what begins is to be seen at once
                self._values[key] = (until, value)
        elif key.startswith(_OFTEN):
            self._values[key] = (until, value)

    def was_changed(self, entry: Entry) -> None:
        """Remember what was put, or that it was deleted."""
        self.changes += 1
        if entry.key.startswith((*_OFTEN, _STEADY)):
            self._values[entry.key] = (entry.until, None if entry.text is None else decode(entry.text))
        if entry.key.startswith(_STEADY):
            self._texts[entry.key] = (entry.until, entry.text)

    def needs_no_put(self, entry: Entry, ttl_s: float) -> bool:
        """Whether the same was just read or put, with an end at most a 60th of the time to live earlier."""
        until, text = self._texts.get(entry.key, (0.0, None))
        return text == entry.text and entry.until - ttl_s / 60 <= until <= entry.until

    def clear(self) -> None:
        """Believe nothing any longer."""
        self._values = {}


def decode(text: str) -> Any:
    """The value of a text, or None when it is no JSON: bits that a disk has turned, where nobody else notices."""
    try:
        return json.loads(text)
    except ValueError:
        return None

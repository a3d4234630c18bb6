"""Answers that depend on who asks, and on how often."""

import itertools
import threading
from collections.abc import Callable, Mapping

from tests.fake_google.record import RecordedRequest
from tests.fake_google.script import Answer

Script = Answer | Callable[[RecordedRequest], Answer]


def by_key(answers: Mapping[str, Script], otherwise: Script) -> Script:
    """What each API key gets: ``google.default = by_key({"test-key-a": quota_per_minute()}, text("Hello"))``."""
    return lambda request: _answer(answers.get(request.key or "", otherwise), request)


def in_turn(*answers: Script) -> Script:
    """These one after the other, and then from the beginning again."""
    turns = itertools.cycle(answers)
    lock = threading.Lock()

    def answer(request: RecordedRequest) -> Answer:
        with lock:
            script = next(turns)
        return _answer(script, request)

    return answer


def _answer(script: Script, request: RecordedRequest) -> Answer:
    return script if isinstance(script, Answer) else script(request)

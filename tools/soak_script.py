"""What each answer of a soak run has to say, and which faults come in its way: made from a number in the prompt.

The upstream makes the answer from it, and the client what it must have got; no word passes between the two of them
but through agproxy.
"""

import itertools
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, get_args

Fault = Literal[
    "quota", "internal", "overloaded", "reset", "hang_up", "cut", "in_band", "empty", "drip", "stall", "mute"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
# How often one comes beside the others. The last two hold a client up for seconds.
_WEIGHTS = (20, 15, 15, 12, 8, 12, 6, 6, 4, 1, 1)
_AGAIN = 0.35  # of the attempts after a fault meet another one
HARMLESS: tuple[Fault, ...] = ("drip",)  # the answer is whole

TOOL = "look_up"
_MARK = re.compile(
    rb"\[soak number=(\d+) events=(\d+) length=(\d+) pace_ms=(\d+) thinks=([01]) calls=([01]) fails=([01])\]"
)
_PAGE_LENGTH = 1 << 17
_WORDS = (
    *("a ", "gateway ", "passes ", "each ", "byte ", "on ", "as ", "it ", "came, ", "and ", "nothing ", "else. "),
    *(
        "naïve ",
        "Grüße ",
        "данные ",
        "日本語",
        "한국어 ",
        "שלום ",
        "e\u0301 ",
        "🙂 ",
        "👩\u200d👩\u200d👧 ",
        "\U0001d4b3 ",
    ),
    *(
        '"quoted" ',
        "'quoted' ",
        "back\\slash ",
        "\\n ",
        "\\u0041 ",
        "tab\t",
        "line\n",
        "\n\n",
        "\r\n",
        "\x7f",
        "\x1b[0m ",
    ),
    *(
        "data: x\n\n",
        "data: [DONE]\n\n",
        "event: message_stop\n",
        ": ping\n\n",
        "\r\n0\r\n\r\n",
        "]}}",
        '{"error": 1} ',
    ),
    *("\u2028", "\u2029", "\u00a0", "\ufeff", "\ufffd", "<b>&amp;</b> ", "%s %d ", "{0} ", "</think> ", "```json\n"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer.

    :param number: no two requests of a run have the same.
    :param events: in how many pieces its text is streamed.
    :param length: of its text, in characters, at least.
    :param pace_ms: milliseconds between two events; 0 = all at once.
    :param thinks: thoughts come before the text.
    :param calls: a call comes after the text.
    :param fails: faults may come in its way.
    """

    number: int
    events: int = 3
    length: int = 120
    pace_ms: int = 0
    thinks: bool = False
    calls: bool = False
    fails: bool = True

    @property
    def mark(self) -> str:
        """What stands in the prompt."""
        flags = f"thinks={self.thinks:d} calls={self.calls:d} fails={self.fails:d}"
        return f"[soak number={self.number} events={self.events} length={self.length} pace_ms={self.pace_ms} {flags}]"

    @property
    def text(self) -> str:
        """The text; it begins with its number, so that no answer has that of another."""
        page = _page()
        begin = self.number * 7919 % (_PAGE_LENGTH - self.length)
        return f"#{self.number} {page[begin : begin + self.length]}"

    @property
    def thoughts(self) -> str:
        """The thoughts, empty when there are none."""
        return f"Thinking of #{self.number} \u2026" if self.thinks else ""

    @property
    def arguments(self) -> dict[str, Any] | None:
        """The arguments of the call of ``TOOL``, None when there is no call."""
        if not self.calls:
            return None
        words = _page()[self.number % 50_000 :][:60]
        return {"number": self.number, "words": words, "nested": {"list": [1, 2.5, True, None, words], "none": {}}}

    def pieces(self) -> list[str]:
        """The text as it is streamed."""
        text = self.text
        cuts = [len(text) * index // self.events for index in range(self.events + 1)]
        return [text[begin:end] for begin, end in itertools.pairwise(cuts)]


def find(body: bytes) -> Plan | None:
    """The plan whose mark stands in the body of a request; the last one, for others may be of what was asked before."""
    marks = _MARK.findall(body)
    if not marks:
        return None
    number, events, length, pace_ms, thinks, calls, fails = map(int, marks[-1])
    return Plan(number, events, length, pace_ms, bool(thinks), bool(calls), bool(fails))


def fault(plan: Plan, attempt: int, *, seed: int, share: float) -> Fault | None:
    """What goes wrong with an attempt, or None.

    :param attempt: how many of this request came before it.
    :param share: of the requests, how many meet a fault.
    """
    if not plan.fails or not share or (attempt and fault(plan, 0, seed=seed, share=share) is None):
        return None
    whether, which = dice(f"{seed} {plan.number} {attempt}")
    if whether >= (_AGAIN if attempt else share):
        return None
    bounds = [sum(_WEIGHTS[: index + 1]) for index in range(len(_WEIGHTS))]
    return next(kind for kind, bound in zip(FAULTS, bounds, strict=True) if which * bounds[-1] < bound)


def dice(words: str) -> tuple[float, float]:
    """Two numbers from 0 to 1 that depend on nothing but these words."""
    digest = blake2b(words.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4]) / 2**32, int.from_bytes(digest[4:]) / 2**32


@lru_cache(maxsize=1)
def _page() -> str:
    """Much text that does not repeat itself."""
    choose = random.Random(6).choice  # noqa: S311 - it must be the same in all processes
    pieces: list[str] = []
    length = 0
    while length < _PAGE_LENGTH:
        pieces.append(choose(_WORDS))
        length += len(pieces[-1])
    return "".join(pieces)[:_PAGE_LENGTH]

"""What the clients of a soak run are told to do, and what they report of it."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

_STEP = math.log(1.02)  # times are counted in steps of 2 %


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: the requests of the numbers ``first``, ``first + step``, ... below ``end``.

    :param streams: paced streams, all at once, instead of the mix.
    :param connections: at once; for streams there is one for each.
    :param events: of each stream.
    :param pace_ms: between two events of a stream.
    :param ramp_s: within which all streams begin.
    """

    first: int
    end: int
    step: int
    streams: bool = False
    connections: int = 1
    events: int = 0
    pace_ms: int = 0
    ramp_s: float = 0.0


@dataclass(slots=True)
class Report:
    """What came of a job.

    :ivar sent: requests.
    :ivar right: whole answers, each as it had to be.
    :ivar left: streams that the client has left.
    :ivar expected: errors of the client's own making, each as it had to be.
    :ivar errors: of agproxy, by what they are called.
    :ivar hit: requests that met a fault, by its name and by what the client got.
    :ivar wrong: how many answers were wrong; ``described`` are some.
    :ivar ids: the sum of all request ids that came with the answers, which those of the access log must make, too.
    :ivar times: of the requests that met no fault, without the pauses that were asked for, by kind and by the step of
        the time.
    :ivar cpu_s: of this process.
    """

    sent: int = 0
    right: int = 0
    left: int = 0
    expected: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    described: list[str] = field(default_factory=list)
    ids: int = 0
    times: dict[str, Counter[str]] = field(default_factory=dict)
    cpu_s: float = 0.0

    def took(self, kind: str, seconds: float) -> None:
        """Count the time of a request."""
        step = str(round(math.log(max(seconds, 1e-5)) / _STEP))
        self.times.setdefault(kind, Counter())[step] += 1

    def told(self) -> dict[str, Any]:
        """All of it as JSON; ``read`` is the way back."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def read(told: dict[str, Any]) -> Report:
    """What a report told."""
    counters = {name: Counter(told[name]) for name in ("errors", "hit")}
    times = {kind: Counter(steps) for kind, steps in told["times"].items()}
    return Report(**{**told, **counters, "times": times})


def merged(reports: Iterable[Report]) -> Report:
    """All reports in one."""
    total = Report()
    for report in reports:
        for name in ("sent", "right", "left", "expected", "wrong", "ids", "cpu_s"):
            setattr(total, name, getattr(total, name) + getattr(report, name))
        total.errors.update(report.errors)
        total.hit.update(report.hit)
        total.described += report.described
        for kind, steps in report.times.items():
            total.times.setdefault(kind, Counter()).update(steps)
    return total


def percentile_s(steps: Counter[str], share: float) -> float:
    """The time, in seconds, that this share of what was counted took at most; 0 when nothing was counted."""
    rank = share * sum(steps.values())
    seen = 0
    for step in sorted(steps, key=int):
        seen += steps[step]
        if seen >= rank:
            return math.exp(int(step) * _STEP)
    return 0.0

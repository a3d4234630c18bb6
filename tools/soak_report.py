"""What a soak run has measured, as a table, and what it must keep to, as verdicts."""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import soak_job
import soak_script
from soak_job import Report

DRIFT = 0.05  # what CPU and memory may grow by
JUDGED = 6  # windows of FULL_WINDOW requests are needed to tell a drift from noise
# A window counts for CPU time when the machine's other work took no more of a processor: such work, on whichever of
# them, makes agproxy's requests dearer by up to a fifth.
QUIET = 0.25
FULL_WINDOW = 10_000
BACKGROUND = 4  # greenlets of a worker that are none of a request's: agproxy's own threads
_SPARE_THREADS = 10  # gevent's pool of real threads grows to this many as they are needed
_ACCESS = re.compile(rb" INFO id=req_([0-9a-f]{24}) method=")
# What is not to be in a log: errors, gunicorn's too, and warnings but those that the faults explain, or a slow disk.
_COMPLAINT = re.compile(
    rb"^\S+ \S+ (?:ERROR|CRITICAL) |^Traceback|^\[\S+ \S+ \S+\] \[\d+\] \[(?:ERROR|CRITICAL)\]"
    rb"|^\S+ \S+ WARNING (?!account rests |answer broke off |store is slow)"
)
_MAX_TOLD = 10


@dataclass(frozen=True, slots=True)
class State:
    """What there is while nothing is asked, after a part of the run.

    :ivar connections: to the upstream that are open.
    :ivar busy: requests that the upstream is still at.
    :ivar files: descriptors of the workers but for these connections.
    """

    pss_mb: float
    connections: int
    busy: int
    files: int
    threads: int
    greenlets: int
    objects: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the run: so many requests, or so many streams at once, and the state after it.

    :ivar others: processors that were busy with work that is none of the run's.
    :ivar heap_mb: the workers' memory that is no file's, the median of what was seen while it ran.
    :ivar report: see ``soak_job.Report``.
    """

    requests: int
    wall_s: float
    cpu_s: float
    upstream_cpu_s: float
    others: float
    heap_mb: float
    peak_heap_mb: float
    report: Report
    state: State

    @property
    def is_quiet(self) -> bool:
        """Whether its CPU time says something."""
        return self.others <= QUIET

    def us(self, cpu_s: float) -> float:
        """Microseconds of a request."""
        return cpu_s / self.requests * 1e6


@dataclass(frozen=True, slots=True)
class Streams:
    """What was asked of the rounds of streams.

    :ivar most: how many the upstream saw open at once.
    """

    count: int
    events: int
    pace_ms: int
    most: int


@dataclass(slots=True)
class Log:
    """What stands in the log of agproxy.

    :ivar requests: lines of the access log.
    :ivar ids: the sum of their request ids.
    :ivar complaints: lines that should not be there.
    """

    requests: int = 0
    ids: int = 0
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Results:
    """All of a run.

    :ivar counts: of the upstream; see ``soak_upstream``.
    :ivar connections: the most that the clients of the mix had open at once.
    :ivar spare_files: descriptors that may come and go with what the store needs.
    """

    warm_up: Window
    windows: Sequence[Window]
    rounds: Sequence[Window]
    streams: Streams
    counts: dict[str, Any]
    log: Log
    connections: int
    spare_files: int
    in_flight: int | None

    @property
    def parts(self) -> list[Window]:
        """All parts of the run."""
        return [self.warm_up, *self.windows, *self.rounds]

    @property
    def total(self) -> Report:
        """What came of all of them."""
        return soak_job.merged(part.report for part in self.parts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a run must keep to.

    :ivar holds: None = the run was too short to tell.
    """

    title: str
    holds: bool | None
    words: str

    def __str__(self) -> str:
        mark = "SKIP" if self.holds is None else "PASS" if self.holds else "FAIL"
        return f"{mark}  {self.title:34} {self.words}"


def read_log(path: Path) -> Log:
    """What stands in a log."""
    log = Log()
    with path.open("rb") as lines:
        for line in lines:
            if found := _ACCESS.search(line):
                log.requests += 1
                log.ids += int(found[1], 16)
            elif _COMPLAINT.match(line):
                log.complaints.append(line.decode(errors="replace").strip())
    return log


# The table.


def table(results: Results) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'':14}" + "".join(f"{title:>{width}}" for title, width, _ in _COLUMNS)
    names = ["warm-up", *(f"window {number}" for number, _ in enumerate(results.windows, 1))]
    names += [f"streams {number}" for number, _ in enumerate(results.rounds, 1)]
    for name, part in zip(names, results.parts, strict=True):
        yield _part(name, part)
    if results.rounds:
        yield from _streams(results)
    yield ""
    yield "milliseconds to the end of an answer that met no fault       count     p50     p99"
    for kind, steps in sorted(soak_job.merged(part.report for part in results.windows).times.items()):
        low, high = (soak_job.percentile_s(steps, share) * 1e3 for share in (0.5, 0.99))
        yield f"{kind:56} {sum(steps.values()):9,} {low:7.1f} {high:7.1f}"
    yield ""
    yield from _faults(results)


# Title, width, and what stands in the column.
_COLUMNS: tuple[tuple[str, int, Callable[[Window], str]], ...] = (
    ("requests", 9, lambda part: f"{part.requests:,}"),
    ("per s", 7, lambda part: f"{part.requests / part.wall_s:.0f}"),
    ("CPU us", 8, lambda part: f"{part.us(part.cpu_s):,.0f}"),
    ("upstream", 10, lambda part: f"{part.us(part.upstream_cpu_s):,.0f}"),
    ("clients", 9, lambda part: f"{part.us(part.report.cpu_s):,.0f}"),
    ("others", 8, lambda part: f"{part.others:.0%}"),
    ("heap MB", 9, lambda part: f"{part.heap_mb:.1f}"),
    ("peak", 6, lambda part: f"{part.peak_heap_mb:.1f}"),
    ("PSS", 6, lambda part: f"{part.state.pss_mb:.1f}"),
    ("objects", 9, lambda part: f"{part.state.objects:,}"),
    ("conn.", 7, lambda part: f"{part.state.connections}"),
    ("files", 7, lambda part: f"{part.state.files}"),
    ("threads", 9, lambda part: f"{part.state.threads}"),
)


def _part(name: str, part: Window) -> str:
    return f"{name:14}" + "".join(f"{value(part):>{width}}" for _, width, value in _COLUMNS)


def _streams(results: Results) -> Iterator[str]:
    streams = results.streams
    for number, part in enumerate(results.rounds, 1):
        times = sum(part.report.times.values(), Counter[str]())
        late = " and ".join(f"{soak_job.percentile_s(times, share) * 1e3:.0f} ms" for share in (0.5, 0.99))
        per_event = part.cpu_s / (streams.count * streams.events) * 1e6
        yield (
            f"  round {number}: {streams.count} streams of {streams.events} events {streams.pace_ms} ms apart,"
            f" {per_event:.0f} us of agproxy's CPU an event; their ends came {late} late (p50 and p99)"
        )


def _faults(results: Results) -> Iterator[str]:
    total, injected = results.total, results.counts["faults"]
    outcomes = sorted({key.partition(" ")[2] for key in total.hit}, key=lambda word: (word != "right", word))
    yield f"fault        injected  requests hit{''.join(f'{outcome:>10}' for outcome in outcomes)}"
    for fault in soak_script.FAULTS:
        seen = [total.hit.get(f"{fault} {outcome}", 0) for outcome in outcomes]
        if injected.get(fault):
            yield f"{fault:12} {injected[fault]:8,} {sum(seen):13,}{''.join(f'{count:10,}' for count in seen)}"
    yield f"{'in all':12} {sum(injected.values()):8,} {sum(total.hit.values()):13,}"
    yield ""
    yield "errors that the clients saw, by kind"
    for name, count in total.errors.most_common():
        yield f"  {count:7,}  {name}"
    yield f"  {total.expected:7,}  of their own making (wrong key, path, model or body), each as it had to be"
    yield f"  {total.left:7,}  streams that the client left"
    yield ""
    start, end = results.warm_up.state, results.parts[-1].state
    yield f"PSS of the worker: {start.pss_mb:.1f} MB after the warm-up, {end.pss_mb:.1f} at the end"
    spread = results.counts["accounts"]
    yield f"requests of each account: {', '.join(f'{spread[key]:,}' for key in sorted(spread))}"


# The verdicts.


def verdicts(results: Results) -> list[Verdict]:
    """What the run must keep to."""
    first, last, total, log = results.windows[0].state, results.parts[-1].state, results.total, results.log
    busy, lost = max(part.state.busy for part in results.parts), total.sent - log.requests
    is_logged = not lost and log.ids == total.ids
    told = [
        Verdict("wrong answers", not total.wrong, f"{total.wrong:,} of {total.sent:,} requests"),
        *_stream_verdicts(results),
        _cpu(results),
        _drift("memory of the worker", results.windows, lambda part: part.heap_mb, "MB"),
        Verdict("requests still under way", not busy, f"{busy} at the upstream after a part"),
        _connections(results),
        _even("open files of the worker", first.files, last.files, results.spare_files),
        Verdict(
            "greenlets of the worker",
            last.greenlets <= BACKGROUND,
            f"{last.greenlets} at the end, of which up to {BACKGROUND} are agproxy's own",
        ),
        _even("threads of the worker", first.threads, last.threads, _SPARE_THREADS),
        Verdict(
            "lines of the access log",
            is_logged,
            f"{log.requests:,} of {total.sent:,}" + ("" if is_logged or lost else ", but of other requests"),
        ),
        Verdict("complaints in the log", not log.complaints, f"{len(log.complaints)}"),
    ]
    if results.in_flight is not None:
        told.append(Verdict("requests counted in flight", not results.in_flight, f"{results.in_flight} in the store"))
    return told


def _stream_verdicts(results: Results) -> Iterator[Verdict]:
    streams, rounds = results.streams, results.rounds
    if not rounds:
        return
    whole = [part.report.right for part in rounds]
    yield Verdict(
        f"{streams.count} streams at once, all whole",
        streams.most >= streams.count and all(each == streams.count for each in whole),
        f"{streams.most} open at once, {' and '.join(map(str, whole))} whole",
    )
    sizes = [part.peak_heap_mb for part in rounds]
    if len(sizes) > 1:
        growth = sizes[-1] / sizes[0] - 1
        words = f"{sizes[0]:.1f} MB in the first round, {sizes[-1]:.1f} in the last: {growth:+.1%}"
        yield Verdict("memory of the worker, streams", growth <= DRIFT, words)


def _cpu(results: Results) -> Verdict:
    """The machine itself may become slower or faster; the upstream and the clients, whose work stays the same, tell."""
    quiet = [part for part in results.windows if part.is_quiet]
    if len(quiet) < min(JUDGED, len(results.windows)):
        words = f"the machine had other work in {len(results.windows) - len(quiet)} of {len(results.windows)} windows"
        return Verdict("CPU per request", None, words)
    slower = max(0.0, _growth(quiet, lambda part: part.upstream_cpu_s + part.report.cpu_s)[2])
    verdict = _drift("CPU per request", quiet, lambda part: part.us(part.cpu_s), "us", beyond=slower)
    return replace(verdict, words=f"{verdict.words}; upstream and clients: {slower:+.1%}") if slower else verdict


def _drift(
    title: str, windows: Sequence[Window], value: Callable[[Window], float], unit: str, *, beyond: float = 0.0
) -> Verdict:
    """Whether something grows, beyond what is no fault of agproxy's."""
    first, last, growth = _growth(windows, value)
    is_judged = len(windows) >= JUDGED and windows[0].requests >= FULL_WINDOW
    words = f"{first:,.1f} {unit} in the first third, {last:,.1f} in the last: {growth:+.1%}"
    if not is_judged:
        words += f" (judged from {JUDGED * FULL_WINDOW:,} requests on)"
    return Verdict(title, (1 + growth) / (1 + beyond) - 1 <= DRIFT if is_judged else None, words)


def _growth(windows: Sequence[Window], value: Callable[[Window], float]) -> tuple[float, float, float]:
    """The medians of the first and the last third, and by which share the last is more."""
    third = max(1, len(windows) // 3)
    first, last = (statistics.median(map(value, part)) for part in (windows[:third], windows[-third:]))
    return first, last, last / first - 1


def _connections(results: Results) -> Verdict:
    """No more may be kept than were ever in use at once; those of clients that have left end a little later."""
    limit = results.connections * 3 // 2
    most = max(part.state.connections for part in results.windows)
    is_kept = most <= limit and all(part.state.connections <= limit + results.streams.count for part in results.rounds)
    words = f"{most} kept open after a window, at most {limit} wanted for {results.connections} clients"
    return Verdict("connections to the upstream", is_kept, words)


def _even(title: str, first: int, last: int, spare: int) -> Verdict:
    return Verdict(title, last <= first + spare, f"{first} after the first window, {last} at the end")


def details(results: Results) -> Iterator[str]:
    """What is wrong, in words, as far as it is not too much."""
    yield from results.total.described[:_MAX_TOLD]
    yield from results.log.complaints[:_MAX_TOLD]

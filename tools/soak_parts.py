"""The parts of a soak run: gives the clients their work, watches what becomes of agproxy, and tells how far it is."""

import dataclasses
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import soak_job
import soak_process
import soak_report
from soak_job import Job, Report
from soak_report import State, Window

CONNECTIONS = 24  # of all clients together
PACE_MS = 100  # between two events of a stream
_SAMPLE_S = 1.0
_SAMPLES_A_LINE = 3
_SETTLE_S = 15.0
_LEDGER_S = 30.0  # agproxy tells the store of uses that are over some seconds later
_LOG_S = 2.0  # within which a line is written that will be


@dataclasses.dataclass(frozen=True, slots=True)
class _Cpu:
    """CPU time that was used so far."""

    agproxy_s: float
    upstream_s: float
    own_s: float
    machine_s: float


class Parts:
    """One run.

    :param env: of agproxy, in which its commands find its configuration.
    :param say: told a line of progress now and then.
    """

    def __init__(
        self,
        agproxy: soak_process.Agproxy,
        upstream: soak_process.Upstream,
        clients: soak_process.Clients,
        *,
        env: dict[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._agproxy = agproxy
        self._upstream = upstream
        self._clients = clients
        self._env = env
        self._say = say
        self._began = time.perf_counter()
        self._wrong = 0
        self._errors: Counter[str] = Counter()  # of the parts that are over

    def requests(self, name: str, first: int, count: int) -> Window:
        """A window of the mix."""
        share = -(-CONNECTIONS // self._clients.count)
        jobs = [self._job(index, first, count, connections=share) for index in range(self._clients.count)]
        return self._part(name, jobs, count)

    def streams(self, name: str, first: int, count: int, events: int) -> Window:
        """Many paced streams at once."""
        ramp_s = events * PACE_MS / 1000 / 8
        more: dict[str, Any] = {"streams": True, "events": events, "pace_ms": PACE_MS, "ramp_s": ramp_s}
        jobs = [self._job(index, first, count, **more) for index in range(self._clients.count)]
        return self._part(name, jobs, count)

    def _job(self, index: int, first: int, count: int, **more: Any) -> dict[str, Any]:
        return dataclasses.asdict(Job(first + index, first + count, self._clients.count, **more))

    def _part(self, name: str, jobs: list[dict[str, Any]], count: int) -> Window:
        before = _Cpu(self._agproxy.cpu_s(), self._upstream.cpu_s(), time.process_time(), soak_process.busy_s())
        began = time.perf_counter()
        self._clients.start(jobs)
        reports, heap_mb = self._wait(name, count, began, before.agproxy_s)
        wall_s = time.perf_counter() - began
        busy = self._settle()
        cpu_s, upstream_s = self._agproxy.cpu_s() - before.agproxy_s, self._upstream.cpu_s() - before.upstream_s
        report = soak_job.merged(reports)
        used_s = cpu_s + upstream_s + report.cpu_s + time.process_time() - before.own_s
        others_s = soak_process.busy_s() - before.machine_s - used_s
        self._errors.update(report.errors)
        self._wrong += report.wrong
        return Window(
            requests=count,
            wall_s=wall_s,
            cpu_s=cpu_s,
            upstream_cpu_s=upstream_s,
            others=max(0.0, others_s / (time.perf_counter() - began)),
            heap_mb=statistics.median(heap_mb),
            peak_heap_mb=max(heap_mb),
            report=report,
            state=self.state(busy),
        )

    def _wait(self, name: str, count: int, began: float, cpu_s: float) -> tuple[list[Report], list[float]]:
        """The reports of all clients, and the memory each second."""
        reports: list[Report] = []
        heap_mb: list[float] = []
        progress: dict[int, dict[str, Any]] = {}
        due = began + _SAMPLE_S
        while len(reports) < self._clients.count or not heap_mb:
            told = self._clients.told(max(0.0, due - time.perf_counter()))
            if told is not None:
                index, kind, value = told
                if kind == "progress":
                    progress[index] = value
                else:
                    reports.append(soak_job.read(value))
            if time.perf_counter() >= due:
                due += _SAMPLE_S
                heap_mb.append(self._agproxy.memory_mb("Pss_Anon"))
                if len(heap_mb) % _SAMPLES_A_LINE == 0:
                    wall_s, used_s = time.perf_counter() - began, self._agproxy.cpu_s() - cpu_s
                    self._say(self._line(name, count, list(progress.values()), wall_s, used_s))
        return reports, heap_mb

    def _line(self, name: str, count: int, progress: list[dict[str, Any]], wall_s: float, used_s: float) -> str:
        done, opened, wrong = (sum(each[word] for each in progress) for word in ("done", "open", "wrong"))
        errors = self._errors.copy()
        for each in progress:
            errors.update(each["errors"])
        pss_mb, each_us = self._agproxy.memory_mb("Pss"), used_s / max(done, 1) * 1e6
        seen = ", ".join(f"{words} x{times}" for words, times in errors.most_common(4))
        return (
            f"{time.perf_counter() - self._began:5.0f} s  {name}: {done:,} of {count:,} done, {done / wall_s:.0f}/s,"
            f" {opened} streams open, {each_us:,.0f} us CPU each, PSS {pss_mb:.1f} MB;"
            f" {self._wrong + wrong} wrong, {sum(errors.values())} errors{': ' if seen else ''}{seen}"
        )

    def _settle(self) -> int:
        """Wait until the upstream has nothing more to do; gives what it is still at after a while."""
        deadline = time.perf_counter() + _SETTLE_S
        while (busy := int(self._upstream.counts()["busy"])) and time.perf_counter() < deadline:
            time.sleep(0.05)
        return busy

    def state(self, busy: int = 0) -> State:
        """The state now, while nothing is asked."""
        deadline = time.perf_counter() + _SETTLE_S
        while (inside := self._agproxy.inside())["greenlets"] > soak_report.BACKGROUND:
            if time.perf_counter() > deadline:
                break
            time.sleep(0.1)
        connections = int(self._upstream.counts()["open"])
        return State(
            pss_mb=self._agproxy.memory_mb("Pss"),
            connections=connections,
            busy=busy,
            files=self._agproxy.open_files() - connections,
            threads=self._agproxy.threads(),
            greenlets=inside["greenlets"],
            objects=inside["objects"],
        )

    def log(self, sent: int) -> soak_report.Log:
        """The log, once all lines are there, or no more come."""
        log = soak_report.read_log(self._agproxy.log)
        while log.requests < sent:
            time.sleep(_LOG_S)
            before, log = log, soak_report.read_log(self._agproxy.log)
            if log.requests == before.requests:
                break
        return log

    def in_flight(self) -> int | None:
        """How many requests the store counts as under way, once it is none, or stays so; None when it cannot tell."""
        deadline = time.perf_counter() + _LEDGER_S
        while (count := soak_process.in_flight(self._env)) and time.perf_counter() < deadline:
            time.sleep(1.0)
        return count

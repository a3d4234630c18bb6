"""Runs agproxy for long, under a mix of everything, and says whether it stays as it was.

Four kinds of processes, all of this checkout: agproxy under gunicorn, with four accounts; an upstream of its own that
speaks Gemini's wire and puts faults in (``soak_upstream``); the clients (``soak_client``), which check each byte of
each answer; and this one, which starts them, reads what the kernel counts, and tells.

The run: a warm-up; windows of requests (``soak_mix``), all alike, with the state measured in between, while nothing is
asked; then twice many paced streams at once, each of which has to end whole. Drift is told by the medians of the first
and the last third of the windows. What it is told of: CPU time, where the machine did little else meanwhile, and the
memory that is no file's, for PSS changes with the other processes that have the same files open.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import bench_process
import soak_mix
import soak_parts
import soak_process
import soak_report
from soak_parts import Parts
from soak_process import Failed
from soak_report import FULL_WINDOW, Results, Streams, Window

_ACCOUNTS = 4
_ROUNDS = 2
_STREAM_NUMBERS = 10**9  # the numbers of the streams begin here
_SHORT_WINDOWS = 3
_SQLITE_FILES = 3  # its WAL comes and goes
_REDIS_CONNECTIONS = 32  # that a worker may have, when it needs them
_PACKAGES = ("agproxy", "gevent", "gunicorn", "requests", "urllib3", "werkzeug")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked.

    :param until_s: windows go on for so long, even if ``requests`` are done.
    :param spare_files: see ``Results``.
    """

    requests: int
    until_s: float
    streams: int
    events: int
    spare_files: int

    @property
    def window(self) -> int:
        """How many requests a window has; those of short runs are too short to tell a drift."""
        is_full = self.requests >= FULL_WINDOW * soak_report.JUDGED
        size = FULL_WINDOW if is_full or self.until_s else self.requests // _SHORT_WINDOWS
        return max(soak_mix.PERIOD, size // soak_mix.PERIOD * soak_mix.PERIOD)

    @property
    def warm_up(self) -> int:
        """How many requests come before the first window."""
        return max(soak_mix.PERIOD, min(FULL_WINDOW, self.window // 2 if self.window < FULL_WINDOW else FULL_WINDOW))

    def goes_on(self, windows: Sequence[Window], seconds: float) -> bool:
        """Whether another window is needed; there are some more where other work of the machine spoils what they tell.

        :param seconds: since the first began.
        """
        done = sum(window.requests for window in windows)
        is_clear = self.window < FULL_WINDOW or sum(each.is_quiet for each in windows) >= soak_report.JUDGED
        return done < self.requests or seconds < self.until_s or (not is_clear and done < self.requests * 3 // 2)


def run(parts: Parts, plan: Plan, upstream: soak_process.Upstream) -> Results:
    """All parts, one after the other."""
    parts.state()  # from here on the workers are known
    warm_up = parts.requests("warm-up", 0, plan.warm_up)
    number = plan.warm_up
    windows: list[Window] = []
    began = time.perf_counter()
    while plan.goes_on(windows, time.perf_counter() - began):
        windows.append(parts.requests(f"window {len(windows) + 1}", number, plan.window))
        number += plan.window
    rounds = [
        parts.streams(f"streams {index + 1}", _STREAM_NUMBERS + index * plan.streams, plan.streams, plan.events)
        for index in range(_ROUNDS if plan.streams else 0)
    ]
    sent = sum(part.report.sent for part in (warm_up, *windows, *rounds))
    counts = upstream.counts()
    streams = Streams(plan.streams, plan.events, soak_parts.PACE_MS, int(counts["most_streams"]))
    return Results(
        warm_up=warm_up,
        windows=windows,
        rounds=rounds,
        streams=streams,
        counts=counts,
        log=parts.log(sent),
        connections=soak_parts.CONNECTIONS,
        spare_files=plan.spare_files,
        in_flight=parts.in_flight(),
    )


@contextlib.contextmanager
def _home(log: Path) -> Iterator[Path]:
    """A folder for the run; the log outlives it when the run fails."""
    with tempfile.TemporaryDirectory(prefix="agproxy-soak-") as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            if (home / "failed").exists():
                shutil.copy(home / "log", log)


def _ini(port: int, store: str, room: int) -> str:
    common = f"base_url = http://127.0.0.1:{port}\nmax_in_flight = {room}\n"
    accounts = "".join(f"[account:a{each}]\napi_key = soak-account-{each}\n{common}" for each in range(_ACCOUNTS))
    upstream = "[upstream]\nfirst_event_timeout_s = 3\nsilence_timeout_s = 3\nping_s = 1\n"
    server = f"[server]\nauth_mode = strict\napi_key = {soak_mix.API_KEY.decode()}\n"
    return f"{server}{upstream}[store]\nurl = {store}\n{accounts}"


def _machine() -> str:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    system = f"{os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}"
    return f"{system}, {platform.python_implementation()} {platform.python_version()}\n{packages}"


def _share(text: str) -> float:
    share = float(text.removesuffix("%")) / 100
    if not 0 <= share <= 0.5:
        raise argparse.ArgumentTypeError("must be between 0% and 50%")
    return share


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/soak",
        description="Run agproxy for long under a mix of protocols, streams and faults; does it stay as it was?",
    )
    parser.add_argument("minutes", nargs="?", type=float, default=0.0, metavar="MINUTES", help="go on for so long")
    parser.add_argument("--requests", type=int, default=100_000, metavar="N", help="at least (%(default)s)")
    parser.add_argument("--streams", type=int, default=500, metavar="N", help="open at once, in the end (%(default)s)")
    parser.add_argument("--stream-seconds", type=float, default=20.0, metavar="S", help="of each (%(default)s)")
    parser.add_argument("--faults", type=_share, default=0.01, metavar="P%", help="requests that meet a fault (1%%)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of agproxy (%(default)s)")
    parser.add_argument("--clients", type=int, default=2, metavar="N", help="processes of clients (%(default)s)")
    parser.add_argument("--store", default="", metavar="URL", help="[store] url (an SQLite file of the run's own)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order and the faults (%(default)s)")
    parser.add_argument("--app", default="agproxy.wsgi:app", metavar="MODULE:NAME", help="what is served (%(default)s)")
    args = parser.parse_args()
    if args.workers > 1 and args.store == "memory:":
        parser.error("with --store memory: each worker has its own state, so there may be one only")
    return args


def main() -> int:
    """Run; gives the exit status: 0, 1 when a verdict fails, 2 when the run could not be made."""
    args = _arguments()
    if not Path("/proc/self/smaps_rollup").exists():
        print("tools/soak: this needs Linux, whose /proc tells CPU time and memory of processes", file=sys.stderr)
        return 2
    events = max(1, int(args.stream_seconds * 1000 / soak_parts.PACE_MS))
    spare_files = _SQLITE_FILES + (_REDIS_CONNECTIONS if args.store.startswith("redis") else 0) * args.workers
    plan = Plan(args.requests, args.minutes * 60, args.streams, events, spare_files)
    print(f"{_machine()}\nseed {args.seed}, faults {args.faults:.1%}, {args.workers} worker(s)\n", flush=True)
    log = Path(tempfile.gettempdir(), f"agproxy-soak-{os.getpid()}.log")
    began = time.perf_counter()
    with _home(log) as home:
        try:
            results = _run(args, plan, home)
        except KeyboardInterrupt:
            return 130
        except (Failed, OSError, subprocess.SubprocessError) as error:
            (home / "failed").touch()
            print(f"tools/soak: {error}; the log of agproxy: {log}", file=sys.stderr)
            return 2
        found = soak_report.verdicts(results)
        has_failed = any(verdict.holds is False for verdict in found)
        print(*soak_report.table(results), "", *found, *soak_report.details(results), sep="\n")
        print(f"\ntook {time.perf_counter() - began:.0f} s")
        if has_failed:
            (home / "failed").touch()
            print(f"the log of agproxy: {log}")
    return 1 if has_failed else 0


def _run(args: argparse.Namespace, plan: Plan, home: Path) -> Results:
    config = home / "soak.ini"
    env = bench_process.environment(home, config)
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(soak_process.upstream(env, seed=args.seed, share=args.faults))
        room = args.streams + soak_parts.CONNECTIONS  # a limit that is never met: all uses are counted for it
        config.write_text(_ini(upstream.port, args.store or f"sqlite:{home / 'state.db'}", room))
        config.chmod(0o600)
        agproxy = stack.enter_context(soak_process.agproxy(args.app, env, workers=args.workers, log=home / "log"))
        options = {"port": agproxy.port, "seed": args.seed, "share": args.faults}
        clients = stack.enter_context(soak_process.clients(env, args.clients, **options))
        say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
        return run(Parts(agproxy, upstream, clients, env=env, say=say), plan, upstream)


if __name__ == "__main__":
    sys.exit(main())

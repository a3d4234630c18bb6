"""agproxy's benchmark: what it costs beside a bare forwarder and a mapping floor, against one fast local upstream.

All three run under the same gunicorn, with one gevent worker each, and are measured in turn: each round gives every
load to each of them, in short bursts one right after the other, so that what else the machine does meets all alike.
CPU is that of the whole process tree (gunicorn's master and worker), not of this client and not of the upstream. The
ratio is the median of the rounds' own ratios.

The bars, which every change has to keep:

* CPU per request: a small chat, eight clients.
* CPU per streamed event: four streams whose events come 2 ms apart, as those of a model do: each wakes the server up.
  (Events that come all at once wake nobody; they cost far less, and say little about real streams.) The cost of the
  request itself is included; 200 events share it.
* Start-up: from starting gunicorn to its first answer, of a request that waited in the listening socket.
* Memory: PSS of the worker, idle after its first 50 requests and a stream. It runs alone then, with this client and
  the upstream; they share the interpreter's own pages.

Why a floor, and what it leaves out: ``bench_servers.py``.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import bench_client
import bench_process
import bench_upstream
from bench_client import Client, Protocol, WrongAnswer

CPU_LIMIT = 1.5  # times the floor
START_LIMIT_S = 0.6
MEMORY_LIMIT_MB = 60.0

_PACKAGES = ("agproxy", "gevent", "gunicorn", "requests", "urllib3", "werkzeug")
_MAX_CLIENTS = 8
_WARM_UP = 50  # requests


@dataclass(frozen=True)
class Server:
    """One of those that are compared.

    :ivar app: for gunicorn; ``{upstream}`` stands for the upstream's URL.
    """

    name: str
    app: str
    protocol: Protocol


SERVERS = (
    Server("forwarder", 'bench_servers:forwarder("{upstream}")', "gemini"),
    Server("floor", 'bench_servers:floor("{upstream}")', "openai"),
    Server("agproxy", "agproxy.wsgi:app", "openai"),
)


@dataclass(frozen=True)
class Load:
    """One kind of requests.

    :ivar events: of each answer; the pieces of its text when it is not streamed.
    :ivar pace_us: microseconds between two events, 0 for all at once.
    :ivar times: requests of each client in one burst.
    :ivar spoken: what agproxy's client speaks; the other servers know one protocol each.
    """

    title: str
    events: int
    clients: int
    times: int
    stream: bool = True
    pace_us: int = 0
    large: bool = False
    per_event: bool = False
    spoken: Protocol = "openai"

    @property
    def units(self) -> int:
        """What the CPU time of a burst is divided by."""
        return self.clients * self.times * (self.events if self.per_event else 1)

    def protocol(self, server: Server) -> Protocol:
        """What a server is spoken to in."""
        return self.spoken if server.app == "agproxy.wsgi:app" else server.protocol

    def request(self, protocol: Protocol) -> bytes:
        """The bytes of the request."""
        model = bench_upstream.model(self.events, self.pace_us)
        if protocol == "anthropic":
            messages = [{"role": "user", "content": _QUESTION}]
            asked = {"model": model, "max_tokens": 4096, "stream": self.stream, "messages": messages}
            return bench_client.post("/v1/messages", asked)
        if protocol == "openai":
            chat = _large_chat() if self.large else {"messages": [{"role": "user", "content": _QUESTION}]}
            return bench_client.post("/v1/chat/completions", {"model": model, "stream": self.stream, **chat})
        method = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
        turns: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": _QUESTION}]}]}
        # What the body says does not matter to the forwarder, only its size.
        return bench_client.post(f"/v1beta/models/{model}:{method}", _large_chat() if self.large else turns)


_QUESTION = "Say in a few words what a gateway does."

REQUEST = Load("small chat, 8 clients", events=3, clients=8, times=15, stream=False)
PACED = Load("event, paced 2 ms", events=200, clients=4, times=1, pace_us=2000, per_event=True)
# For information. Of the large one, the floor maps less: its tools and their calls are left out.
SINGLE = Load("small chat, 1 client", events=3, clients=1, times=100, stream=False)
SHORT = Load("stream of 1 event", events=1, clients=8, times=12)
AT_ONCE = Load("event, all at once", events=250, clients=8, times=2, per_event=True)
LARGE = Load("200 KB conversation", events=3, clients=4, times=4, stream=False, large=True)
OTHERS = tuple(
    replace(load, title=f"{words}: {load.title}", spoken=spoken)
    for words, spoken in (("Messages", "anthropic"), ("Gemini's", "gemini"))
    for load in (REQUEST, PACED)
)
LOADS = (REQUEST, SINGLE, LARGE, PACED, AT_ONCE, SHORT, *OTHERS)
FIRST_EVENT = Load("", events=3, clients=1, times=20)


@dataclass
class Row:
    """One line of the table.

    :ivar values: of each server, one for each round.
    """

    title: str
    unit: str
    digits: int = 0
    values: dict[str, list[float]] = field(default_factory=lambda: {server.name: [] for server in SERVERS})

    def add(self, server: Server, value: float) -> None:
        """One more round."""
        self.values[server.name].append(value)

    def median(self, name: str) -> float:
        """The median of a server's rounds."""
        return statistics.median(self.values[name])

    def ratio(self) -> float:
        """agproxy's cost in times of the floor's."""
        pairs = zip(self.values["agproxy"], self.values["floor"], strict=True)
        return statistics.median(agproxy / floor for agproxy, floor in pairs)

    def __str__(self) -> str:
        cells = (f"{min(self.values[s.name]):.{self.digits}f} {self.median(s.name):.{self.digits}f}" for s in SERVERS)
        return f"{self.title:38} {self.unit:5}" + "".join(f"{cell:>16}" for cell in cells) + f"{self.ratio():>14.2f}"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    :ivar bursts: of each load, for each server in each round.
    """

    rounds: int
    bursts: int


FULL = Plan(rounds=7, bursts=3)
QUICK = Plan(rounds=3, bursts=1)


class Bench:
    """One run, with its upstream and its folder."""

    def __init__(self, plan: Plan, *, upstream_port: int, env: dict[str, str]) -> None:
        self._plan = plan
        self._upstream_port = upstream_port
        self._env = env
        self.start = Row("start-up, to the first answer", "s", 2)
        self.imports = Row("import of the application", "s", 2)
        self.fresh = Row("PSS of a fresh worker", "MB", 1)
        self.idle = Row("PSS of an idle worker", "MB", 1)
        self.tree = Row("PSS of master and idle worker", "MB", 1)
        self.first_event = Row("added time to first event", "ms", 2)
        self.cpu = {load: Row(f"CPU: {load.title}", "us") for load in LOADS}
        self.rate = Row(f"requests/s: {REQUEST.title}", "1/s")

    def rows(self) -> list[Row]:
        """The table's lines."""
        once = [self.first_event, self.start, self.imports, self.fresh, self.idle, self.tree]
        return [*self.cpu.values(), self.rate, *once]

    def starts(self) -> None:
        """Measure what a server costs before anyone uses it, each one alone."""
        for number in range(self._plan.rounds + 1):
            for server in SERVERS:
                if number == 0:  # the first time compiles modules and fills the page cache
                    bench_process.import_s(server.app.partition(":")[0], self._env)
                    continue
                self.imports.add(server, bench_process.import_s(server.app.partition(":")[0], self._env))
                began = time.perf_counter()
                with self._running(server) as tree:
                    self.start.add(server, time.perf_counter() - began)
                    self.fresh.add(server, bench_process.pss_mb(tree.worker))
                    self._warm_up(server, tree)
                    self.idle.add(server, bench_process.pss_mb(tree.worker))
                    self.tree.add(server, bench_process.pss_mb(tree.worker) + bench_process.pss_mb(tree.pid))

    def loads(self) -> None:
        """Measure what requests and events cost, all servers in turn."""
        with contextlib.ExitStack() as stack:
            trees = {server: stack.enter_context(self._running(server)) for server in SERVERS}
            connections = {
                server: stack.enter_context(bench_client.clients(tree.port, _MAX_CLIENTS))
                for server, tree in trees.items()
            }
            direct = stack.enter_context(bench_client.clients(self._upstream_port, 1))[0]
            for server, tree in trees.items():
                self._check(server, connections[server][0])
                self._warm_up(server, tree)
            for number in range(self._plan.rounds):
                turn = number % len(SERVERS)
                order = SERVERS[turn:] + SERVERS[:turn]
                for load in LOADS:
                    self._round(load, order, trees, connections)
                self._first_events(order, direct, connections)

    def _round(
        self,
        load: Load,
        order: tuple[Server, ...],
        trees: dict[Server, bench_process.Tree],
        connections: dict[Server, list[Client]],
    ) -> None:
        cpu_s = dict.fromkeys(order, 0.0)
        wall_s = dict.fromkeys(order, 0.0)
        for _ in range(self._plan.bursts):
            for server in order:
                request = load.request(load.protocol(server))
                before = trees[server].cpu_s()
                wall_s[server] += bench_client.burst_s(connections[server][: load.clients], request, load.times)
                cpu_s[server] += trees[server].cpu_s() - before
        for server in order:
            units = load.units * self._plan.bursts
            self.cpu[load].add(server, cpu_s[server] / units * 1e6)
            if load is REQUEST:
                self.rate.add(server, units / wall_s[server])

    def _first_events(self, order: tuple[Server, ...], direct: Client, connections: dict[Server, list[Client]]) -> None:
        for server in order:
            through, straight = [], []
            for _ in range(FIRST_EVENT.times * self._plan.bursts):
                straight.append(direct.first_event_s(FIRST_EVENT.request("gemini")))
                through.append(connections[server][0].first_event_s(FIRST_EVENT.request(server.protocol)))
            self.first_event.add(server, (statistics.median(through) - statistics.median(straight)) * 1e3)

    @contextlib.contextmanager
    def _running(self, server: Server) -> Iterator[bench_process.Tree]:
        app = server.app.format(upstream=f"http://127.0.0.1:{self._upstream_port}")
        with bench_process.gunicorn(app, self._env) as tree:
            try:
                bench_client.first_answer(tree.port)
            except WrongAnswer as error:
                raise WrongAnswer(f"{server.name}: {error}\n{bench_process.why(tree.command, self._env)}") from error
            yield tree

    def _warm_up(self, server: Server, tree: bench_process.Tree) -> None:
        with bench_client.clients(tree.port, 1) as [client]:
            client.repeat(REQUEST.request(server.protocol), _WARM_UP)
            client.repeat(SHORT.request(server.protocol), 1)

    def _check(self, server: Server, client: Client) -> None:
        """Every server must give the same text, and all of it."""
        for load in LOADS:
            protocol = load.protocol(server)
            body = client.exchange(load.request(protocol))
            text = bench_client.answer_text(protocol, body, stream=load.stream)
            if text != "".join(bench_upstream.words(load.events)):
                raise WrongAnswer(f"{server.name} answers {load.title!r} with another text: {body[:300]!r}")


@dataclass(frozen=True)
class Bar:
    """One thing that agproxy has to keep within.

    :ivar unit: ``x floor`` for a ratio.
    """

    title: str
    measured: float
    limit: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        verdict = "PASS" if self.holds else "FAIL"
        return f"{verdict}  {self.title:28} {self.measured:6.2f} {self.unit:8} limit {self.limit:g}"


def bars(bench: Bench) -> list[Bar]:
    """What is asked of agproxy, by the medians."""
    return [
        Bar("CPU per request", bench.cpu[REQUEST].ratio(), CPU_LIMIT, "x floor"),
        Bar("CPU per streamed event", bench.cpu[PACED].ratio(), CPU_LIMIT, "x floor"),
        Bar("start-up", bench.start.median("agproxy"), START_LIMIT_S, "s"),
        Bar("PSS of an idle worker", bench.idle.median("agproxy"), MEMORY_LIMIT_MB, "MB"),
    ]


def _large_chat() -> dict[str, Any]:
    """A conversation of an agent: 200 messages, 24 tools, about 200 KB."""
    schema = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Where to look, relative to the project's folder."},
            "limit": {"type": "integer", "minimum": 1, "maximum": 2000, "default": 200},
            "kinds": {"type": "array", "items": {"type": "string", "enum": ["file", "folder", "link"]}},
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{number}", "description": "Looks. " * 40, "parameters": schema},
        }
        for number in range(24)
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are careful. " * 400}]
    for turn in range(50):
        call = {"name": f"tool_{turn % 24}", "arguments": f'{{"path": "src/module_{turn}.py", "limit": 100}}'}
        messages += [
            {"role": "user", "content": f"Question {turn}: " + "what does this part do, and why? " * 20},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "def part(value):\n    return value\n" * 50},
            {"role": "assistant", "content": f"Answer {turn}: " + "it maps one value to another. " * 20},
        ]
    return {"messages": [*messages, {"role": "user", "content": _QUESTION}], "tools": tools}


def _machine() -> str:
    """What the numbers depend on, in two lines."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            cpu = line.partition(":")[2].strip()
            break
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    load = os.getloadavg()[0]
    system = f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f}"
    return f"{system}\n{platform.python_implementation()} {platform.python_version()}, {packages}"


def _plan(args: argparse.Namespace) -> Plan:
    plan = QUICK if args.quick else FULL
    return replace(plan, rounds=args.rounds) if args.rounds else plan


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description="What agproxy costs, and whether the bars hold.")
    parser.add_argument("--quick", action="store_true", help="about 15 seconds, less exact")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how often everything is measured ({FULL.rounds})")
    parser.add_argument("--no-bars", action="store_true", help="exit with 0 even when a bar does not hold")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark; gives the exit status: 0, 1 when a bar does not hold, 2 when nothing could be measured."""
    args = _arguments()
    if not Path("/proc/self/smaps_rollup").exists():
        print("tools/bench: this needs Linux, whose /proc tells CPU time and memory of processes", file=sys.stderr)
        return 2
    began = time.perf_counter()
    print(f"{_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="agproxy-bench-") as home, contextlib.ExitStack() as stack:
        config = Path(home) / "bench.ini"
        env = bench_process.environment(Path(home), config)
        port = stack.enter_context(bench_process.upstream(env))
        config.write_text(f"[account:bench]\ntype = gemini\nbase_url = http://127.0.0.1:{port}\napi_key = bench\n")
        config.chmod(0o600)
        bench = Bench(_plan(args), upstream_port=port, env=env)
        try:
            bench.starts()
            bench.loads()
        except (WrongAnswer, HTTPException, OSError, subprocess.SubprocessError) as error:
            print(f"tools/bench: {error}", file=sys.stderr)
            return 2
    names = "".join(f"{server.name:>16}" for server in SERVERS)
    print(f"{'each: min median':44}{names}{'agproxy/floor':>14}")
    print(*bench.rows(), sep="\n")
    found = bars(bench)
    print("", *found, f"\nmeasured in {time.perf_counter() - began:.0f} s", sep="\n")
    return 0 if args.no_bars or all(bar.holds for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())

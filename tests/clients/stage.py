"""What a client program runs against: the strict fake Google, and agproxy under gunicorn that can be restarted."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import Agproxy, accounts_ini, environment, gunicorn_argv, running
from tests.fake_google import FakeGoogle, RecordedRequest
from tests.ports import free_port

_ACCESS = re.compile(r" method=(?P<method>\S+) path=(?P<path>\S+) .* status=(?P<status>\d+) ")


@dataclass(frozen=True, slots=True)
class Access:
    """One line of agproxy's log about a request.

    :param error: its error's code, or empty.
    """

    method: str
    path: str
    status: int
    error: str


@dataclass
class Stage:
    """The fake, and agproxy in front of it, with one folder for all that they write."""

    folder: Path
    google: FakeGoogle
    ini: str
    port: int
    _stack: contextlib.ExitStack
    _agproxies: list[Agproxy] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """What clients of OpenAI are told."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def root_url(self) -> str:
        """What clients of Anthropic and of Google are told: they add the version."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start agproxy; its port and its state stay the same each time."""
        home = self.folder / "agproxy"
        home.mkdir(exist_ok=True)
        path = home / "agproxy.ini"
        path.write_text(self.ini)
        path.chmod(0o600)
        argv, url = gunicorn_argv(self.port), f"http://127.0.0.1:{self.port}"
        log_path = home / f"log-{len(self._agproxies)}"
        env = environment(home, AGPROXY_CONFIG=str(path))
        self._agproxies.append(self._stack.enter_context(running(argv, url, path, log_path, env, home)))

    def restart(self) -> None:
        """Stop agproxy as an operator would, and start it again."""
        self._agproxies[-1].stop()
        self.start()

    def log(self) -> str:
        """What agproxy has logged, over all its starts."""
        return "".join(agproxy.log() for agproxy in self._agproxies)

    def requests(self, path: str) -> list[Access]:
        """What agproxy has answered at a path, oldest first."""
        found = []
        for line in self.log().splitlines():
            match = _ACCESS.search(line)
            if match and match["path"] == path:
                found.append(Access(match["method"], path, int(match["status"]), line.partition(" error=")[2]))
        return found

    def story(self) -> str:
        """What happened so far, for the report of a failure."""
        refused = [f"{each.path}: {each.refusal or each.script_error}" for each in self.google.requests]
        lines = [f"{len(refused)} requests to Google", *(line for line in refused if not line.endswith(": None"))]
        return "\n".join([*lines, "--- the end of agproxy's log", *self.log().splitlines()[-40:]])

    def assert_signed(self, steps: int) -> None:
        """The calls that the fake made came back to it with the signatures that it gave, and never with a dummy.

        :param steps: how often it made calls; the first call of each time is signed.
        """
        self.google.assert_no_refusals()
        assert not [request.dummies for request in self.google.requests if request.dummies]
        returned = _signatures(self.google.requests[-1])
        assert len(returned) == steps, f"calls of {len(returned)} steps came back, of {steps}"
        assert all(signature and self.google.ledger.find(signature) for signature in returned), returned


def _signatures(request: RecordedRequest) -> list[str | None]:
    """Those of the first call of each step."""
    steps = [[part for part in content["parts"] if "function_call" in part] for content in request.contents]
    return [calls[0].get("thought_signature") for calls in steps if calls]


@contextlib.contextmanager
def staged(folder: Path, *, ini: str = "") -> Iterator[Stage]:
    """The fake and agproxy, with one account, until the end of the block.

    :param ini: more of agproxy's configuration.
    """
    with contextlib.ExitStack() as stack:
        google = stack.enter_context(FakeGoogle(strict_dummies=True))
        stage = Stage(folder, google, f"{ini}\n{accounts_ini(google, 'a')}", free_port(), stack)
        stage.start()
        try:
            yield stage
        except BaseException as error:
            error.add_note(stage.story())
            raise

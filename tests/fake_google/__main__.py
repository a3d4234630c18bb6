"""Run the fake for manual use: ``python -m tests.fake_google --port 8099``; it echoes the last user text."""

import argparse
import contextlib
import threading

from tests.fake_google.record import RecordedRequest
from tests.fake_google.script import Answer, text
from tests.fake_google.server import FakeGoogle


def echo(request: RecordedRequest) -> Answer:
    """The last user text, word by word."""
    words = (request.last_user_text or "(no text)").split(" ")
    return text(*[word if index == 0 else " " + word for index, word in enumerate(words)])


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_google", description=__doc__)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--key", action="append", help="an API key it takes; may stand several times")
    options = parser.parse_args()
    with FakeGoogle(port=options.port, keys=options.key) as google, contextlib.suppress(KeyboardInterrupt):
        google.default = echo
        print(f"fake Google at {google.url}, keys: {', '.join(google.keys)}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

"""``agproxy accounts`` beside a running agproxy: what it changes is taken over, what it shows is what happens."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Agproxy, Serve, environment
from tests.fake_google import Answer, FakeGoogle, RecordedRequest, quota_per_minute, text

TAKEN_OVER_S = 2.5  # two, and what a request takes


def accounts(agproxy: Agproxy, *words: str, sent: str = "") -> str:
    """What ``agproxy accounts`` says, run by the user whose agproxy it is."""
    home = Path(agproxy.ini).parent
    env = environment(home, AGPROXY_CONFIG=str(agproxy.ini), PYTHONPATH=str(Path(__file__).parents[2]))
    argv = [sys.executable, "-m", "agproxy", "accounts", *words]
    ran = subprocess.run(argv, input=sent, capture_output=True, text=True, env=env, cwd=home, timeout=30)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def answering(agproxy: Agproxy) -> str:
    """Which account answers a new conversation."""
    response = agproxy.chat(messages=[{"role": "user", "content": os.urandom(8).hex()}])
    assert response.status_code == 200, response.text
    return response.headers["X-Account-Email"].partition("@")[0]


def comes_to_hold(condition: Callable[[], bool]) -> bool:
    """Whether something holds for who asks two seconds later, or sooner, while requests go on."""
    deadline = time.monotonic() + TAKEN_OVER_S
    while True:
        is_last = time.monotonic() > deadline
        holds = condition()
        if holds or is_last:
            return holds
        time.sleep(0.1)


def listed(agproxy: Agproxy) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(accounts(agproxy, "list", "--json"))
    return found


def test_accounts_are_added_disabled_and_pinned_while_agproxy_runs(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    assert {answering(agproxy) for _ in range(3)} == {"a"}

    words = ("add", "b", "--email", "b@example.com", "--base-url", google.url)
    assert "a running agproxy takes it over within 2 s" in accounts(agproxy, *words, sent="test-key-b\n")
    assert comes_to_hold(lambda: answering(agproxy) == "b")
    assert listed(agproxy)["next"] == ["a", "b"]

    accounts(agproxy, "disable", "a")
    assert comes_to_hold(lambda: {answering(agproxy) for _ in range(3)} == {"b"})
    assert listed(agproxy)["next"] == ["b"]

    accounts(agproxy, "enable", "a")
    assert comes_to_hold(lambda: answering(agproxy) == "a")

    accounts(agproxy, "pin", "b")
    assert comes_to_hold(lambda: {answering(agproxy) for _ in range(4)} == {"b"})
    accounts(agproxy, "unpin")
    assert comes_to_hold(lambda: answering(agproxy) == "a")


def test_account_that_rests_is_shown_with_its_reason_until_its_test_succeeds(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b")
    google.enqueue(quota_per_minute("600s"), key="test-key-a")
    assert {answering(agproxy) for _ in range(4)} == {"b"}
    a, b = listed(agproxy)["accounts"]
    assert (a["state"], a["rests"][0]["model"], b["state"]) == ("rests", "gemini-flash-latest", "ready")
    assert a["rests"][0]["reason"].startswith("You exceeded your current quota")
    assert "it rests no longer for gemini-flash-latest" in accounts(agproxy, "test", "a", "--call")
    assert comes_to_hold(lambda: answering(agproxy) == "a")


def test_requests_under_way_and_limits_that_are_reached_are_shown(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", max_in_flight="1")
    asked, go_on = threading.Event(), threading.Event()

    def held(_: RecordedRequest) -> Answer:
        asked.set()
        go_on.wait(30)
        return text("Done")

    google.enqueue(held)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(answering, agproxy)
        try:
            assert asked.wait(10)
            found = listed(agproxy)
        finally:
            go_on.set()
        name = answer.result()
    full = next(account for account in found["accounts"] if account["name"] == name)
    assert (full["state"], full["in_flight"], full["last_minute"]) == ("full", 1, 1)
    assert full["words"] == "at its limit: 1 of 1 requests under way"
    assert found["next"] == [other for other in ("a", "b") if other != name]
    assert comes_to_hold(lambda: [account["in_flight"] for account in listed(agproxy)["accounts"]] == [0, 0])

"""``agproxy accounts list``: states in words, who is chosen and why others are not, as the pool itself would choose."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.__main__ import main
from agproxy.accounts import Pool, Wanted
from agproxy.cli.accounts_list import Standing, next_words, report, standings, until
from agproxy.config import Account, Config, Scheduling
from agproxy.config import Store as StoreOptions
from agproxy.pauses import Pauses
from agproxy.retry import Verdict
from agproxy.store import Offer
from agproxy.store.memory import MemoryStore
from agproxy.store.sqlite import SqliteStore
from tests.cli.conftest import key
from tests.fake_google import FakeGoogle
from tests.fake_google import failures as google_says
from tests.whole_app import WholeApp

NOW = 1_781_000_000.0
MODEL = "gemini-flash-latest"
QUOTA = Verdict("next", "quota", 600.0)
OUT = Verdict("next", "account")


class World:
    """A pool and its store."""

    def __init__(self, *accounts: Account, pin: str = "", fallback: tuple[tuple[str, str], ...] = ()) -> None:
        self.config = Config(
            accounts=accounts, scheduling=Scheduling(pin=pin), fallback=fallback, store=StoreOptions("sqlite:/s.db")
        )
        self.store = MemoryStore(lambda: NOW)
        self.pauses = Pauses(accounts, self.store, started=0.0)

    def record(self, account: Account, verdict: Verdict, *, model: str = MODEL, reason: str = "because") -> None:
        self.pauses.record(account, verdict, model=model, reason=reason, now=NOW)

    def standings(self, model: str = MODEL) -> dict[str, Standing]:
        return {each.account.name: each for each in standings(self.config, self.store, model, NOW)}

    def why_not(self) -> dict[str, str]:
        return {name: standing.why_not for name, standing in self.standings().items()}

    def next(self) -> str:
        return next_words(self.config, list(self.standings().values()), MODEL, NOW)


def account(name: str = "a", **fields: Any) -> Account:
    return Account(name, **{"api_key": f"key-{name}", **fields})


def test_time_is_told_by_the_clock_and_by_how_long_it_is() -> None:
    noon = time.mktime((2026, 10, 4, 12, 0, 0, 0, 0, -1))
    assert until(noon + 599, noon) == "until 12:09 (10 min)"
    assert until(noon + 33, noon) == "until 12:00 (34 s)"
    assert until(noon + 86_399, noon) == "until 2026-10-05 11:59 (24 h 0 min)"


def test_states_in_words() -> None:
    a, b, c, d, e = (
        account("a"),
        account("b", enabled=False),
        account("c", problem="api_key is empty"),
        account("d"),
        account("e", max_in_flight=1),
    )
    world = World(a, b, c, d, e)
    world.record(d, QUOTA, reason="Quota exceeded")
    world.store.ledger.take([Offer(world.pauses.fingerprint(e))])
    found = world.standings()
    assert {name: standing.state for name, standing in found.items()} == {
        "a": "ready",
        "b": "off",
        "c": "out",
        "d": "rests",
        "e": "full",
    }
    assert found["c"].words == "out: api_key is empty"
    assert found["d"].words == f"rests {until(NOW + 600, NOW)} for {MODEL}: Quota exceeded"
    assert found["e"].words == "at its limit: 1 of 1 requests under way"
    assert world.why_not() == {
        "a": "",
        "b": "it is disabled; `agproxy accounts enable b` changes that",
        "c": "its key cannot be used",
        "d": "it rests",
        "e": "it has no room",
    }


def test_key_that_was_refused_rests_for_all_models_and_says_what_ends_it() -> None:
    a = account()
    world = World(a)
    world.record(a, OUT, reason="API key not valid")
    words = world.standings("gemini-pro-latest")["a"].words
    assert words == f"rests {until(NOW + 60, NOW)}, or until its key changes or agproxy starts again: API key not valid"


def test_rest_for_another_model_is_told_and_does_not_count() -> None:
    a = account()
    world = World(a)
    world.record(a, QUOTA, model="gemini-pro-latest", reason="Quota exceeded")
    standing = world.standings()["a"]
    assert (standing.state, standing.why_not) == ("ready", "")
    text = report(world.config, [standing], model=MODEL, now=NOW)
    assert f"rests {until(NOW + 600, NOW)} for gemini-pro-latest: Quota exceeded" in text


def test_accounts_of_one_project_rest_together() -> None:
    a, b = account("a", project="p"), account("b", project="p")
    world = World(a, b)
    world.record(a, QUOTA)
    assert [standing.state for standing in world.standings().values()] == ["rests", "rests"]


def test_limit_of_a_minute_is_told_with_its_end() -> None:
    a = account(requests_per_minute=2)
    world = World(a)
    for _ in range(2):
        world.store.ledger.take([Offer(world.pauses.fingerprint(a))])
        world.store.ledger.release(world.pauses.fingerprint(a))
    assert world.standings()["a"].words.startswith("at its limit: 2 of 2 requests a minute; less in ")


def test_accounts_of_the_highest_priority_take_turns() -> None:
    world = World(account("a", priority=1), account("b", priority=1), account("c"))
    assert world.why_not() == {"a": "", "b": "", "c": "a has a higher priority"}
    assert world.next() == f"a new conversation for {MODEL} gets a or b, whichever was used the longest ago"


def test_pinned_account_goes_before_all_others() -> None:
    world = World(account("a", priority=1), account("b"), pin="b")
    assert world.why_not() == {"a": "b is pinned", "b": ""}
    assert world.next() == f"a new conversation for {MODEL} gets b, which is pinned"


def test_pinned_account_that_rests_leaves_it_to_the_others() -> None:
    a, b = account("a"), account("b")
    world = World(a, b, pin="b")
    world.record(b, QUOTA)
    assert world.why_not() == {"a": "", "b": "it rests"}
    assert world.next() == f"a new conversation for {MODEL} gets a, the only one that can now"


def test_account_that_may_not_be_asked_for_the_model_says_for_which_it_may() -> None:
    world = World(account("a", models=("gemini-pro-*", "gemma-*")), account("b"))
    assert world.why_not() == {"a": "its models are gemini-pro-*, gemma-*", "b": ""}


def test_nobody_free_is_told_with_the_first_end_and_the_model_that_answers_instead() -> None:
    a, b = account("a"), account("b")
    world = World(a, b, fallback=((MODEL, "gemini-flash-lite-latest"),))
    world.record(a, QUOTA)
    world.record(b, Verdict("next", "quota", 300.0))
    instead = "[fallback] asks gemini-flash-lite-latest instead"
    assert world.next() == f"a new conversation for {MODEL} gets no account {until(NOW + 300, NOW)}; {instead}"


def test_no_room_anywhere_is_told_with_the_longest_wait() -> None:
    world = World(account(max_in_flight=1))
    world.store.ledger.take([Offer(world.pauses.fingerprint(world.config.accounts[0]))])
    assert world.next() == f"a new conversation for {MODEL} waits for room, up to 20 s"


def test_table_has_a_line_for_each_account_and_shows_no_key() -> None:
    a, b = account("a", api_key=key("a"), priority=2, max_in_flight=8), account("b", api_key=key("b"), project="p-1")
    world = World(a, b)
    lines = report(world.config, list(world.standings().values()), model=MODEL, now=NOW).splitlines()
    assert lines[4].split() == ["NAME", "TYPE", "PROJECT", "KEY", "PRIORITY", "UNDER", "WAY", "LAST", "MINUTE", "STATE"]
    assert lines[5].split() == ["a", "gemini", f"...{key('a')[-4:]}", "2", "0", "of", "8", "0", "ready"]
    assert lines[6].split() == ["b", "gemini", "p-1", f"...{key('b')[-4:]}", "0", "0", "0", "ready"]
    assert lines[7].strip() == "not chosen: a has a higher priority"
    assert key("a") not in "\n".join(lines)


_ACCOUNTS = st.builds(
    account,
    priority=st.integers(-1, 1),
    enabled=st.sampled_from([True, True, True, False]),
    models=st.sampled_from([(), (), (MODEL,), ("gemini-pro-*",)]),
    max_in_flight=st.sampled_from([0, 0, 1]),
    project=st.sampled_from(["", "p"]),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_who_is_named_next_is_whom_the_pool_takes(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(_ACCOUNTS, min_size=1, max_size=4))
    accounts = [replace(each, name=f"n{number}", api_key=f"key-{number}") for number, each in enumerate(drawn)]
    world = World(*accounts, pin=data.draw(st.sampled_from(["", *(each.name for each in accounts)])))
    for each in accounts:
        verdict = data.draw(st.sampled_from([None, None, QUOTA, OUT, Verdict("next", "model", 60.0)]))
        if verdict is not None:
            world.record(each, verdict, model=data.draw(st.sampled_from([MODEL, "gemini-pro-latest"])))
        if data.draw(st.booleans()):
            world.store.ledger.take([Offer(world.pauses.fingerprint(each))])
    named = [name for name, why_not in world.why_not().items() if not why_not]
    used = {each.name: data.draw(st.integers(0, 9)) for each in accounts}
    taken = Pool(accounts, world.config.scheduling, world.store, dict(used)).take(
        Wanted(MODEL, MODEL), tried=(), now=NOW
    )
    if isinstance(taken, Account):
        assert taken.name in named
        assert len(named) == 1 or used[taken.name] == min(used[name] for name in named)
    else:
        assert named == []


# The command.


def test_alone_it_lists_and_makes_no_state(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounts"]) == 0
    alone = capsys.readouterr().out
    assert main(["accounts", "list"]) == 0
    assert capsys.readouterr().out == alone
    assert f"\nnext      a new conversation for {MODEL} gets demo" in alone
    assert "warning   the answers are made up (demo)" in alone
    assert list(home.iterdir()) == []


def test_two_keys_of_one_project_are_warned_about(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "agproxy.ini").write_text("[account:a]\napi_key=k-1\nproject=p\n[account:b]\napi_key=k-2\nproject=p\n")
    assert main(["accounts"]) == 0
    assert "warning   a and b are of one project, p: they share one quota\n" in capsys.readouterr().out


def test_state_in_memory_is_said_to_be_known_to_the_running_agproxy_only(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "agproxy.ini").write_text("[store]\nurl = memory:\n")
    assert main(["accounts"]) == 0
    assert "note      state is in memory: who rests, and what is under way, only the running agproxy knows" in (
        capsys.readouterr().out
    )
    assert main(["accounts", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state_is_known"] is False


def test_model_is_known_by_any_name_that_clients_may_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "agproxy.ini").write_text("[models]\nmine = gemini-pro-latest\n[account:a]\napi_key = k-1\n")
    assert main(["accounts", "list", "--model", "mine"]) == 0
    assert "\nmodel     gemini-pro-latest\n" in capsys.readouterr().out
    assert main(["accounts", "list", "--model", "nobodys-model"]) == 2
    assert "agproxy: --model: No model 'nobodys-model' is known here." in capsys.readouterr().err


def test_model_that_accounts_list_is_known(home: Path, google: FakeGoogle, capsys: pytest.CaptureFixture[str]) -> None:
    state = home / "state.db"
    (home / "agproxy.ini").write_text(f"[store]\nurl = sqlite:{state}\n[account:a]\napi_key = {key('a')}\n")
    store = SqliteStore(state)
    store.put("model_list:x", [{"name": "models/odd-one"}], ttl_s=60.0)
    store.close()
    assert main(["accounts", "list", "--model", "odd-one"]) == 0
    assert "\nmodel     odd-one\n" in capsys.readouterr().out


def test_rest_that_a_served_request_caused_is_listed(
    home: Path, google: FakeGoogle, capsys: pytest.CaptureFixture[str]
) -> None:
    google.keys = {"test-key-a": "project-a", "test-key-b": "project-b"}
    url = f"sqlite:{home}/state.db"
    app = WholeApp(google, "ab", store_url=url)
    google.enqueue(google_says.quota_per_minute("1800s"))
    app.answer(stream=False)
    sections = [f"[account:{name}]\napi_key = test-key-{name}\nbase_url = {google.url}\n" for name in "ab"]
    (home / "agproxy.ini").write_text(f"[store]\nurl = {url}\n" + "".join(sections))
    assert main(["accounts", "list", "--json", "--model", "gemini-3-flash-preview"]) == 0
    found = json.loads(capsys.readouterr().out)
    rested, answered = sorted(found["accounts"], key=lambda account: account["state"] == "ready")
    assert found["next"] == [answered["name"]]
    assert (rested["state"], rested["why_not"]) == ("rests", "it rests")
    (rest,) = rested["rests"]
    assert rest["model"] == "gemini-3-flash-preview"
    assert 1700 < rest["until"] - time.time() <= 1800
    assert rest["reason"].startswith("You exceeded your current quota")
    assert main(["accounts", "list"]) == 0
    shown = capsys.readouterr().out
    assert "(30 min) for gemini-3-flash-preview: You exceeded" in shown
    assert f"next      a new conversation for {MODEL} gets a or b" in shown


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_state_that_cannot_be_used_is_warned_about(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "state").write_text("")
    (home / "agproxy.ini").write_text(f"[store]\nurl = sqlite:{home}/state/s.db\n")
    assert main(["accounts"]) == 0
    assert "warning   state can be kept in memory only, for" in capsys.readouterr().out

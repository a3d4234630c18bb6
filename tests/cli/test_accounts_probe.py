"""``agproxy accounts test``: what Google is asked, the verdicts in words, and the rests that a success ends."""

import time
from pathlib import Path

import pytest

from agproxy.__main__ import main
from agproxy.config import Account, load
from agproxy.pauses import Pauses, Rest
from agproxy.retry import Verdict
from agproxy.store.sqlite import SqliteStore
from tests.cli.conftest import key
from tests.fake_google import FakeGoogle
from tests.fake_google import failures as google_says
from tests.fake_google.script import Answer

MODEL = "gemini-flash-latest"


class Command:
    """``agproxy accounts test`` for accounts of the fake, with the state of a running agproxy."""

    def __init__(self, home: Path, google: FakeGoogle, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = home / "agproxy.ini"
        self.state = home / "state.db"
        self._google = google
        self._capsys = capsys

    def write(self, *letters: str, **options: str) -> None:
        """An account for each letter, with the key of that letter."""
        text = f"[store]\nurl = sqlite:{self.state}\n"
        for letter in letters:
            text += f"[account:{letter}]\napi_key = {key(letter)}\nbase_url = {self._google.url}\n"
            text += "".join(f"{name} = {value}\n" for name, value in options.items())
        self.file.write_text(text)
        self.file.chmod(0o600)

    def run(self, *words: str) -> tuple[int, list[str]]:
        """The exit status, and the lines that were said; no key is ever a part of them."""
        status = main(["accounts", "test", *words])
        said = self._capsys.readouterr()
        assert said.err == ""
        assert all(key(letter) not in said.out for letter in "abcx")
        return status, said.out.splitlines()

    def asked(self) -> list[str]:
        return [request.method for request in self._google.requests]

    def record(self, letter: str, verdict: Verdict, *, model: str = MODEL) -> None:
        """Let an account rest, as a request of a running agproxy that failed some time ago does."""
        accounts = load(self.file, {}).accounts
        store = SqliteStore(self.state)
        pauses = Pauses(accounts, store, started=0.0)
        pauses.record(self._account(letter), verdict, model=model, reason="because", now=time.time() - 1)
        store.close()

    def rests(self, letter: str) -> list[Rest]:
        store = SqliteStore(self.state)
        try:
            accounts = load(self.file, {}).accounts
            return Pauses(accounts, store, started=0.0).all_of(self._account(letter), time.time())
        finally:
            store.close()

    def _account(self, letter: str) -> Account:
        return next(account for account in load(self.file, {}).accounts if account.name == letter)


@pytest.fixture
def command(home: Path, google: FakeGoogle, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(home, google, capsys)


def without_ms(line: str) -> str:
    """A line without how long it took, which it must tell."""
    words, _, took = line.rpartition("; ")
    assert took.endswith(" ms")
    assert took.removesuffix(" ms").isdigit()
    return words


def test_accounts_that_work_cost_no_quota_to_test(command: Command, google: FakeGoogle) -> None:
    command.write("a", "b")
    status, lines = command.run()
    assert [without_ms(line) for line in lines] == [
        f"a  ok      key accepted, {len(google.models)} models listed; {MODEL} is there",
        f"b  ok      key accepted, {len(google.models)} models listed; {MODEL} is there",
    ]
    assert status == 0
    assert command.asked() == ["listModels", "countTokens", "listModels", "countTokens"]
    google.assert_no_refusals()


def test_call_lets_the_model_answer(command: Command, google: FakeGoogle) -> None:
    command.write("a", "b")
    status, lines = command.run("b", "--call", "--model", "gemini-pro-latest")
    assert (status, without_ms(lines[0]).endswith("; gemini-pro-latest is there; it answers")) == (0, True)
    assert command.asked() == ["listModels", "countTokens", "generateContent"]
    assert google.requests[-1].body["generationConfig"] == {"maxOutputTokens": 16}
    google.assert_no_refusals()


def test_model_is_one_that_the_account_may_be_asked_for(command: Command, google: FakeGoogle) -> None:
    for patterns, model in (("gemini-pro-*", "gemini-pro-latest"), ("gemini-2.5-flash", "gemini-2.5-flash")):
        command.write("a", models=patterns)
        status, lines = command.run()
        assert (status, f"; {model} is there" in lines[0]) == (0, True)
    command.write("a", models="nobody*")
    status, lines = command.run()
    assert (status, "; none of them may be asked for, by 'models' of the account" in lines[0]) == (0, True)


def test_one_failure_is_an_exit_status_of_1_and_the_others_are_tested(command: Command) -> None:
    command.write("x", "a")
    status, lines = command.run()
    assert status == 1
    assert lines[0].startswith("x  FAILED  Google refuses the key: API key not valid. Please pass a valid API key.; ")
    assert lines[0].endswith(" ms; agproxy leaves it out for 60 s, doubling to 1 h, until the key works")
    assert lines[1].startswith("a  ok      key accepted")


@pytest.mark.parametrize(
    ("method", "answer", "words", "follows"),
    [
        ("listModels", google_says.unavailable(), "the models cannot be listed: This model is currently", ""),
        ("listModels", google_says.raw(b"hello", content_type="text/plain"), "is not the Gemini API", ""),
        (
            "countTokens",
            google_says.error(404, message=f"models/{MODEL} is not found"),
            f"{MODEL} cannot count tokens: models/{MODEL} is not found",
            "",
        ),
        (
            "generateContent",
            google_says.quota_per_minute("34s"),
            f"{MODEL} does not answer: You exceeded your current quota",
            f"agproxy lets it rest for {MODEL} for 35 s",
        ),
        (
            "generateContent",
            google_says.quota_per_minute(None),
            f"{MODEL} does not answer: You exceeded your current quota",
            f"agproxy lets it rest for {MODEL} for 6 s",
        ),
        ("generateContent", google_says.quota_per_day(), f"{MODEL} does not answer", f") for {MODEL}"),
        (
            "generateContent",
            google_says.location_not_supported(),
            f"{MODEL} does not answer: User location is not supported for the API use.",
            "",
        ),
        (
            "generateContent",
            google_says.error(403, message="Caller may not"),
            f"{MODEL} does not answer: Caller may not",
            f"agproxy lets it rest for {MODEL} for 61 s",
        ),
    ],
)
def test_failure_in_words_and_what_agproxy_would_do(
    command: Command, google: FakeGoogle, method: str, answer: Answer, words: str, follows: str
) -> None:
    command.write("a")
    google.enqueue(answer, method=method)
    status, (line,) = command.run("--call")
    assert (status, words in line) == (1, True), line
    assert line.endswith(follows or " ms"), line
    assert ("this does not tell whether the key is good" in line) == (method == "listModels")


def test_account_whose_key_cannot_be_read_fails(command: Command) -> None:
    command.file.write_text("[account:me]\napi_key = env:NOT_SET\n")
    words = "me  FAILED  it is out: api_key: the environment variable NOT_SET is not set, or empty"
    assert command.run() == (1, [words])


def test_account_that_is_disabled_is_tested_when_it_is_named(command: Command) -> None:
    command.write("a", enabled="off")
    assert command.run() == (0, ["a  off     not tested; name it to test it"])
    assert command.run("a")[1][0].startswith("a  ok      key accepted")


def test_demo_is_fine(command: Command) -> None:
    assert command.run() == (0, ["demo  ok      its answers are made up here; nobody is called"])


# The rests that a success ends.


def test_key_that_works_again_serves_at_once(command: Command) -> None:
    command.write("a", "b")
    command.record("a", Verdict("next", "account"))
    command.record("a", Verdict("next", "quota", 600.0))
    command.record("b", Verdict("next", "account"))
    status, lines = command.run("a")
    assert (status, lines[0].endswith(" ms; it rests no longer")) == (0, True), lines
    assert [rest.model for rest in command.rests("a")] == [MODEL]  # of which nothing was shown
    assert [rest.model for rest in command.rests("b")] == [""]


def test_model_that_answers_again_is_asked_at_once(command: Command) -> None:
    command.write("a")
    command.record("a", Verdict("next", "quota", 600.0))
    command.record("a", Verdict("next", "quota", 600.0), model="gemini-pro-latest")
    status, lines = command.run("--call")
    assert (status, lines[0].endswith(f" ms; it rests no longer for {MODEL}")) == (0, True), lines
    assert [rest.model for rest in command.rests("a")] == ["gemini-pro-latest"]


def test_key_that_is_still_refused_stays_out(command: Command, google: FakeGoogle) -> None:
    command.write("x")
    command.record("x", Verdict("next", "account"))
    assert command.run()[0] == 1
    assert len(command.rests("x")) == 1


def test_key_that_is_refused_for_one_call_only_stays_out(command: Command, google: FakeGoogle) -> None:
    command.write("a")
    command.record("a", Verdict("next", "account"))
    google.enqueue(google_says.error(403, message="Requests to this API method are blocked."), method="countTokens")
    status, (line,) = command.run()
    assert (status, "Google refuses the key: Requests to this API method are blocked." in line) == (1, True)
    assert len(command.rests("a")) == 1


def test_state_in_memory_is_out_of_reach(command: Command, google: FakeGoogle) -> None:
    command.write("a")
    command.file.write_text(command.file.read_text().replace(f"sqlite:{command.state}", "memory:"))
    _, lines = command.run()
    assert lines[1:] == ["note: state is in memory, so the pauses of a running agproxy, if any, stay"]


def test_state_that_there_is_not_yet_is_not_made(command: Command) -> None:
    command.write("a")
    command.run()
    assert not command.state.exists()

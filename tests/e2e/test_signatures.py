"""Thought signatures that Google refuses: mended once, in every protocol, whatever the words of the refusal."""

from collections.abc import Iterator

import pytest

from tests.conversation.talk import CONVERSING, Talk
from tests.conversation.turn import Result, Tool
from tests.e2e.conftest import Serve
from tests.fake_google import FakeGoogle, calls, quota_per_day, text
from tests.fake_google.signatures import CORRUPTED, INVALID, NOT_VALID

LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
MODEL = "gemini-3-flash-preview"
WORDINGS = (
    *(NOT_VALID, CORRUPTED, INVALID, "Invalid thought signature.", "Request contains an invalid thought-signature."),
    *("The signature is invalid", "Signature verification failed", "Failed to decode signature of thought part"),
    "thinking signature expired",
)


@pytest.fixture(autouse=True)
def of_a_project(google: FakeGoogle) -> Iterator[None]:
    """Signatures are good for the project that got them."""
    google.ledger.bind_to_project = True
    yield
    google.ledger.bind_to_project, google.ledger.refusal_words = False, NOT_VALID
    google.requests.clear()  # the refusals among them were wanted


def statuses(google: FakeGoogle) -> list[tuple[str, bool]]:
    """By request: the account's letter, and whether it was refused."""
    return [((request.key or "?")[-1], request.refusal is not None) for request in google.requests]


@pytest.mark.parametrize("protocol", CONVERSING)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_conversation_goes_on_with_an_account_of_another_project(
    serve: Serve, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    agproxy = serve("a", "b")
    talk = Talk(agproxy.url, protocol, google)
    google.enqueue(calls(("look", {"at": "1"})), quota_per_day(model=MODEL), calls(("look", {"at": "2"})), text("Done"))
    first = talk.say(streamed=streamed, tools=(LOOK,))
    second = talk.say(Result(first.calls[0], "one"), streamed=streamed, tools=(LOOK,))
    third = talk.say(Result(second.calls[0], "two"), streamed=streamed, tools=(LOOK,))
    talk.close()
    assert third.text == "Done"
    # The first request to b is refused, and mended; what b has made itself it gets back.
    told = statuses(google)
    assert told[:4] == [("a", False), ("a", False), ("b", True), ("b", False)]
    assert {key for key, _ in told[4:]} == {"b"}
    assert "attempts=2" in agproxy.log()
    assert "attempts=3" not in agproxy.log()
    assert f"request mended model={MODEL} without=thought signatures" in agproxy.log()


@pytest.mark.parametrize("words", WORDINGS)
def test_words_of_the_refusal_do_not_matter(serve: Serve, google: FakeGoogle, words: str) -> None:
    google.ledger.refusal_words = words
    talk = Talk(serve("a").url, "chat", google)
    google.enqueue(calls(("look", {"at": "1"})), text("Done"))
    first = talk.say(streamed=False, tools=(LOOK,))
    google.ledger.forget()
    assert talk.say(Result(first.calls[0], "one"), streamed=False, tools=(LOOK,)).text == "Done"
    talk.close()
    assert statuses(google) == [("a", False), ("a", True), ("a", False)]

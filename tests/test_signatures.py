"""What is kept of a call, and how it comes back into a history that its client has changed."""

import pytest

from agproxy import signatures
from agproxy.chat import ChatRequest, Message, TextDelta, TextPart, ToolCallDelta, ToolCallPart, ToolCallStart
from agproxy.store.memory import MemoryStore

SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}
MADE = '{"command":"cd /tmp && ls \\\\;  ","timeout":"5000"}'


def store_of(*events: ToolCallStart | ToolCallDelta | TextDelta) -> MemoryStore:
    store = MemoryStore(lambda: 0.0)
    keeper = signatures.Keeper(store)
    for event in events:
        keeper.note(event)
    return store


def kept(arguments: str = MADE) -> MemoryStore:
    return store_of(ToolCallStart(0, "c1", "Bash", SIGNED), ToolCallDelta(0, arguments))


def history(call: ToolCallPart) -> ChatRequest:
    return ChatRequest("m", (Message("user", (TextPart("Go"),)), Message("assistant", (TextPart("Hm."), call))))


def restored(store: MemoryStore, **arguments: object) -> ToolCallPart:
    call = ToolCallPart("c1", "Bash", arguments)
    part = signatures.restored(history(call), store).messages[1].parts[1]
    assert isinstance(part, ToolCallPart)
    return part


AS_MADE = ToolCallPart("c1", "Bash", {"command": "cd /tmp && ls \\;  ", "timeout": "5000"}, SIGNED)


def test_call_that_comes_back_as_it_was_made_is_signed() -> None:
    assert restored(kept(), **AS_MADE.arguments) == AS_MADE


@pytest.mark.parametrize(
    "sent",
    [
        {"command": "cd /tmp && ls \\;", "timeout": "5000"},  # blanks at the end
        {"command": "cd /tmp && ls ;", "timeout": "5000"},  # a backslash
        {"command": "ls \\;", "timeout": "5000"},  # without what stood before
        {"command": "cd /tmp && ls \\;  ", "timeout": 5000},  # another type
        {"command": "cd /tmp && ls \\;  ", "timeout": "5000", "replace_all": False, "limit": None},  # defaults
    ],
)
def test_call_in_another_form_comes_back_as_it_was_made(sent: dict[str, object]) -> None:
    assert restored(kept(), **sent) == AS_MADE


@pytest.mark.parametrize(
    "sent",
    [
        {"command": "rm -r /tmp", "timeout": "5000"},
        {"command": "", "timeout": "5000"},
        {"command": "cd /tmp && ls \\;  "},
        {"command": "cd /tmp && ls \\;  ", "timeout": "5000", "force": True},
        {},
    ],
)
def test_call_that_was_changed_stays_so_and_loses_its_signature(sent: dict[str, object]) -> None:
    assert restored(kept(), **sent) == ToolCallPart("c1", "Bash", sent)


def test_signature_that_the_client_carries_goes_before_the_one_kept() -> None:
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments, OTHER)
    assert signatures.restored(history(call), kept()).messages[1].parts[1] == call


@pytest.mark.parametrize("call", [ToolCallPart("c2", "Bash", {}), ToolCallPart("c1", "Read", {})])
def test_another_call_is_left_alone(call: ToolCallPart) -> None:
    assert signatures.restored(history(call), kept()).messages[1].parts[1] == call


def test_arguments_that_came_in_pieces_are_kept_whole() -> None:
    start = ToolCallStart(0, "c1", "Bash", SIGNED)
    store = store_of(
        start, ToolCallDelta(0, '{"a":{"b":'), TextDelta("x"), ToolCallDelta(0, "1}"), ToolCallDelta(0, "}")
    )
    assert restored(store, a={"b": 1}, c=False).arguments == {"a": {"b": 1}}


def test_arguments_that_are_very_long_are_taken_as_they_are_sent() -> None:
    store = kept('{"text":"' + "x" * 70_000 + ' "}')
    part = restored(store, text="x" * 70_000)
    assert (part.arguments, part.provider_metadata) == ({"text": "x" * 70_000}, SIGNED)


def test_call_without_a_signature_is_not_kept() -> None:
    store = store_of(ToolCallStart(0, "c1", "Bash"), ToolCallDelta(0, '{"a":1}'))
    assert restored(store, a=2) == ToolCallPart("c1", "Bash", {"a": 2})


@pytest.mark.parametrize("carried", [None, SIGNED])
def test_signature_that_was_refused_is_not_sent_again(carried: dict[str, dict[str, str]] | None) -> None:
    store = kept()
    signatures.refused(history(AS_MADE), store)
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments, carried)
    assert signatures.restored(history(call), store).messages[1].parts[1] == ToolCallPart("c1", "Bash", call.arguments)

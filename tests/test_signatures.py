"""What is kept of a call, and how it comes back into a history that its client has changed."""

import json

import pytest

from agproxy import signatures
from agproxy.chat import ChatRequest, Message, TextDelta, TextPart, ToolCallDelta, ToolCallPart, ToolCallStart
from agproxy.store.memory import MemoryStore

SESSION = "s1"
SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}


def store_of(*events: ToolCallStart | ToolCallDelta | TextDelta, with_arguments: bool = True) -> MemoryStore:
    store = MemoryStore(lambda: 0.0)
    keeper = signatures.Keeper(store, SESSION, project="p", family="3", with_arguments=with_arguments)
    for event in events:
        keeper.note(event)
    return store


def kept(arguments: str = "", *, with_arguments: bool = True) -> MemoryStore:
    arguments = arguments or json.dumps(AS_MADE.arguments)
    begun = ToolCallStart(0, "c1", "Bash", SIGNED)
    return store_of(begun, ToolCallDelta(0, arguments), with_arguments=with_arguments)


def history(call: ToolCallPart) -> ChatRequest:
    return ChatRequest("m", (Message("user", (TextPart("Go"),)), Message("assistant", (TextPart("Hm."), call))))


def sent_with(chat: ChatRequest, store: MemoryStore, session: str, *, family: str = "3") -> ChatRequest:
    return signatures.restored(chat, store, session, family=family)


def restored(store: MemoryStore, **arguments: object) -> ToolCallPart:
    call = ToolCallPart("c1", "Bash", arguments)
    part = sent_with(history(call), store, SESSION).messages[1].parts[1]
    assert isinstance(part, ToolCallPart)
    return part


COMMAND = "cd /tmp && ls \\\\;  \nls  "
AS_MADE = ToolCallPart("c1", "Bash", {"command": COMMAND, "timeout": "5000", "count": 7}, SIGNED)


def test_call_that_comes_back_as_it_was_made_is_signed() -> None:
    assert restored(kept(), **AS_MADE.arguments) == AS_MADE


@pytest.mark.parametrize(
    "sent",
    [
        {"command": "cd /tmp && ls \\\\;\nls"},  # blanks at the ends of lines
        {"command": "cd /tmp && ls \\;  \nls  "},  # one backslash for two
        {"command": "ls \\\\;  \nls"},  # without the folder
        {"timeout": 5000},
        {"replace_all": False, "limit": None},  # defaults
    ],
)
def test_call_in_another_form_comes_back_as_it_was_made(sent: dict[str, object]) -> None:
    assert restored(kept(), **{**AS_MADE.arguments, **sent}) == AS_MADE


@pytest.mark.parametrize(
    "sent",
    [
        {"command": "rm -r /tmp"},
        {"command": ""},
        {"command": "ls"},
        {"command": ";  \nls  "},
        {"command": "cd / && ls \\\\;  \nls  "},
        {"timeout": "500"},
        {"timeout": 50000},
        {"count": 70},
        {"count": "7"},
        {"count": 7.5},
        {"force": True},
        {"force": 0},
        {"force": ""},
    ],
)
def test_call_that_was_changed_stays_so_and_loses_its_signature(sent: dict[str, object]) -> None:
    changed = {**AS_MADE.arguments, **sent}
    assert restored(kept(), **changed) == ToolCallPart("c1", "Bash", changed)


@pytest.mark.parametrize("name", AS_MADE.arguments)
def test_call_of_which_something_was_left_out_stays_so(name: str) -> None:
    left = {key: value for key, value in AS_MADE.arguments.items() if key != name}
    assert restored(kept(), **left) == ToolCallPart("c1", "Bash", left)


@pytest.mark.parametrize("text", ["not approved", "sudo rm -rf build", "cd /tmp && ls"])
def test_only_the_folder_of_a_command_may_be_missing_from_its_beginning(text: str) -> None:
    store = kept(json.dumps({"text": text, "command": "a"}))
    sent = {"text": text.rpartition(" ")[2], "command": "a"}
    assert restored(store, **sent) == ToolCallPart("c1", "Bash", sent)


def test_call_of_another_conversation_says_nothing_about_this_one() -> None:
    call = ToolCallPart("c1", "Bash", {**AS_MADE.arguments, "replace_all": False})
    assert sent_with(history(call), kept(), "s2").messages[1].parts[1] == call


def test_same_call_is_signed_though_the_conversation_has_another_key() -> None:
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments)
    assert sent_with(history(call), kept(), "s2").messages[1].parts[1] == AS_MADE


def test_signature_that_the_client_carries_goes_before_the_one_kept() -> None:
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments, OTHER)
    assert sent_with(history(call), kept(), SESSION).messages[1].parts[1] == call


@pytest.mark.parametrize("call", [ToolCallPart("c2", "Bash", {}), ToolCallPart("c1", "Read", {})])
def test_another_call_is_left_alone(call: ToolCallPart) -> None:
    assert sent_with(history(call), kept(), SESSION).messages[1].parts[1] == call


def test_arguments_that_came_in_pieces_are_kept_whole() -> None:
    start = ToolCallStart(0, "c1", "Bash", SIGNED)
    store = store_of(
        start, ToolCallDelta(0, '{"a":{"b":'), TextDelta("x"), ToolCallDelta(0, "1}"), ToolCallDelta(0, "}")
    )
    assert restored(store, a={"b": 1}, c=False).arguments == {"a": {"b": 1}}


def test_arguments_that_are_very_long_are_taken_as_they_are_sent() -> None:
    store = kept('{"text":"' + "x" * 70_000 + ' "}')
    assert restored(store, text="x" * 70_000 + " ").provider_metadata == SIGNED
    part = restored(store, text="x" * 70_000)
    assert (part.arguments, part.provider_metadata) == ({"text": "x" * 70_000}, None)


def test_arguments_of_other_clients_are_not_kept_but_known_again() -> None:
    store = kept(with_arguments=False)
    assert "cd /tmp" not in json.dumps(store.get("signature:c1"))
    assert restored(store, **AS_MADE.arguments) == AS_MADE
    changed = {**AS_MADE.arguments, "replace_all": False}
    assert restored(store, **changed) == ToolCallPart("c1", "Bash", changed)


def test_number_is_the_same_in_either_form() -> None:
    assert restored(kept('{"a":110.0,"b":[1.0,{"c":2}]}'), b=[1, {"c": 2.0}], a=110).provider_metadata == SIGNED


@pytest.mark.parametrize(("session", "metadata"), [(SESSION, SIGNED), ("s2", None)])
def test_call_whose_arguments_are_not_known_is_signed_in_its_own_conversation(
    session: str, metadata: dict[str, dict[str, str]] | None
) -> None:
    store = store_of(ToolCallStart(0, "c1", "Bash", SIGNED))
    call = ToolCallPart("c1", "Bash", {"a": 1})
    part = sent_with(history(call), store, session).messages[1].parts[1]
    assert part == ToolCallPart("c1", "Bash", {"a": 1}, metadata)


def test_call_without_a_signature_is_not_kept() -> None:
    store = store_of(ToolCallStart(0, "c1", "Bash"), ToolCallDelta(0, '{"a":1}'))
    assert restored(store, a=2) == ToolCallPart("c1", "Bash", {"a": 2})


@pytest.mark.parametrize("carried", [None, SIGNED])
def test_signature_that_was_refused_is_not_sent_again(carried: dict[str, dict[str, str]] | None) -> None:
    store = kept()
    signatures.refused(history(AS_MADE), store, SESSION)
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments, carried)
    assert sent_with(history(call), store, SESSION).messages[1].parts[1] == ToolCallPart("c1", "Bash", call.arguments)


def test_signature_that_another_conversation_had_refused_is_sent() -> None:
    store = kept()
    signatures.refused(history(AS_MADE), store, "s2")
    assert sent_with(history(AS_MADE), store, SESSION).messages[1].parts[1] == AS_MADE


def test_signature_made_after_a_refusal_is_sent() -> None:
    store = kept()
    signatures.refused(history(AS_MADE), store, SESSION)
    later = ToolCallPart("c9", "Bash", {}, OTHER)
    assert sent_with(history(later), store, SESSION).messages[1].parts[1] == later


@pytest.mark.parametrize("carried", [None, SIGNED], ids=["kept", "carried"])
def test_signature_goes_to_no_model_of_another_family(carried: dict[str, dict[str, str]] | None) -> None:
    call = ToolCallPart("c1", "Bash", AS_MADE.arguments, carried)
    part = sent_with(history(call), kept(), SESSION, family="2").messages[1].parts[1]
    assert part == ToolCallPart("c1", "Bash", AS_MADE.arguments)


def test_signature_that_is_not_known_goes_to_any_model() -> None:
    call = ToolCallPart("c2", "Bash", AS_MADE.arguments, OTHER)
    assert sent_with(history(call), kept(), SESSION, family="2").messages[1].parts[1] == call


def test_what_is_kept_names_project_and_family() -> None:
    found = kept().get("signature:c1")
    assert (found["project"], found["family"]) == ("p", "3")

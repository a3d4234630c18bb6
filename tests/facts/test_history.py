"""What of a client's history Gemini receives: calls, results, thought signatures.

The numbers are those of ``test_protocol_facts``.
"""

from collections.abc import Iterator

import pytest

from tests.fake_google import (
    KNOWN_MODELS,
    FakeGoogle,
    RecordedRequest,
    calls,
    error,
    is_dummy,
    quota_per_minute,
    text,
)
from tests.whole_app import HELLO, Json, WholeApp, call, called, contents, result

FLASH_25, FLASH_3, LATEST, NOT_YET = (
    "gemini-2.5-flash",
    "gemini-3-flash-preview",
    "gemini-flash-latest",
    "gemini-7-nova",
)
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="
LOOK: Json = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {}}}}}
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def _google() -> Iterator[FakeGoogle]:
    models = (*KNOWN_MODELS, NOT_YET)
    with FakeGoogle(models=models, strict_dummies=True, bind_signatures_to_project=True) as google:
        yield google


def signatures(request: RecordedRequest) -> list[list[str | None]]:
    """The signature of each part of each turn of the model; "dummy" for a documented one."""
    found = [[part.get("thoughtSignature") for part in parts] for role, parts in contents(request) if role == "model"]
    return [["dummy" if each and is_dummy(each) else each for each in turn] for turn in found]


def sent(google: FakeGoogle, app: WholeApp, *messages: Json, model: str = FLASH_25) -> list[tuple[str, Json]]:
    """The turns that Gemini receives for these messages."""
    assert app.post(model=model, messages=list(messages), tools=[LOOK]).status_code == 200
    return contents(google.requests[-1])


class TestCallsAndResults:
    def test_results_are_objects_with_the_name_and_id_of_their_call(self, app: WholeApp, google: FakeGoogle) -> None:
        """F24 F25: the client's results carry the id only."""
        *_, (role, parts) = sent(
            google, app, *HELLO, called(call("c1"), call("c2")), result("c2", "B"), result("c1", "A")
        )
        assert role == "user"
        assert [part["functionResponse"] for part in parts] == [
            {"id": "c1", "name": "look", "response": {"output": "A"}},
            {"id": "c2", "name": "look", "response": {"output": "B"}},
        ]

    @both
    @pytest.mark.parametrize("ids", [False, ["same", "same"]], ids=["no ids", "one id for both"])
    def test_each_call_has_an_id_of_its_own(
        self, app: WholeApp, google: FakeGoogle, ids: bool | list[str], stream: bool
    ) -> None:
        """F25"""
        google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "a"}), ids=ids), text("Done."))
        message = app.answer(stream=stream, model=FLASH_25, tools=[LOOK])["message"]
        first, second = [each["id"] for each in message["tool_calls"]]
        assert first
        assert second
        assert first != second
        *_, (_, parts) = sent(google, app, *HELLO, message, result(second, "2"), result(first, "1"))
        assert [(part["functionResponse"]["id"], part["functionResponse"]["response"]) for part in parts] == [
            (first, {"output": "1"}),
            (second, {"output": "2"}),
        ]

    def test_all_calls_of_a_turn_come_before_all_results(self, app: WholeApp, google: FakeGoogle) -> None:
        """F26: however the client interleaves them."""
        first, second = called(call("c1")), called(call("c2"), content="And:")
        turns = sent(
            google, app, *HELLO, first, second, result("c1"), {"role": "user", "content": "Quick!"}, result("c2")
        )
        assert [(role, [next(iter(part)) for part in parts]) for role, parts in turns] == [
            ("user", ["text"]),
            ("model", ["text", "functionCall", "functionCall"]),
            ("user", ["functionResponse", "functionResponse"]),
            ("user", ["text"]),
        ]

    def test_missing_result_is_an_error_and_an_orphan_is_text(self, app: WholeApp, google: FakeGoogle) -> None:
        """F27"""
        turns = sent(google, app, *HELLO, called(call("c1"), call("c2")), result("c2", "B"), result("c9", "Lost."))
        _, results = turns[2]
        assert [list(part["functionResponse"]["response"]) for part in results] == [["error"], ["output"]]
        assert "Lost." in turns[3][1][0]["text"]

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
    def test_last_turn_of_unanswered_calls_goes(self, app: WholeApp, google: FakeGoogle, model: str) -> None:
        """F27"""
        assert [role for role, _ in sent(google, app, *HELLO, called(call("c1")), model=model)] == ["user"]

    @pytest.mark.parametrize(
        "content",
        [
            '{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}',
            '[{"$ref": "image.png"}]',
            '{"a": {"b": [{"$ref": "x"}]}}',
            "plain",
            "",
        ],
    )
    def test_result_is_one_string_whatever_it_holds(self, app: WholeApp, google: FakeGoogle, content: str) -> None:
        """F28 and defect 14"""
        *_, (_, (part,)) = sent(google, app, *HELLO, called(call("c1")), result("c1", content))
        assert part["functionResponse"]["response"] == {"output": content}

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, "gemini-3.6-flash", LATEST])
    def test_picture_of_a_result_stands_beside_it(self, app: WholeApp, google: FakeGoogle, model: str) -> None:
        """F29: neither inside the result nor named by a reference."""
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        held = [{"type": "text", "text": "See:"}, picture]
        *_, (_, results), (_, files) = sent(google, app, *HELLO, called(call("c1")), result("c1", held), model=model)
        assert results[0]["functionResponse"].keys() == {"id", "name", "response"}
        assert results[0]["functionResponse"]["response"] == {"output": "See:"}
        assert files == [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]


class TestSignatures:
    @both
    @pytest.mark.parametrize("model", [FLASH_3, LATEST])
    def test_signature_of_a_text_returns_on_that_text(
        self, app: WholeApp, google: FakeGoogle, model: str, stream: bool
    ) -> None:
        """F30 F33: it comes alone on an empty text at the end, is no thought, and rides on the message."""
        google.enqueue(text("Three", ".", sign=True), text("Four.", sign=True))
        messages = [*HELLO]
        for words in ("Three.", "Four."):
            message = app.answer(stream=stream, model=model, messages=messages)["message"]
            assert message["content"] == words
            assert "reasoning_content" not in message
            assert message["extra_content"]["google"]["thought_signature"]
            messages += [message, *HELLO]
        app.post(model=model, messages=messages)
        given = [messages[place]["extra_content"]["google"]["thought_signature"] for place in (1, 3)]
        assert len(set(given)) == 2
        assert signatures(google.requests[2]) == [[given[0]], [given[1]]]
        assert [parts[0]["text"] for role, parts in contents(google.requests[2]) if role == "model"] == [
            "Three.",
            "Four.",
        ]

    @both
    def test_signatures_of_text_and_call_stay_apart(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        """F30: signed parts are neither merged nor is one signature joined to another."""
        google.enqueue(text("Let me see.", sign=True) + calls(("look", {"at": "a"})), text("Done."))
        message = app.answer(stream=stream, tools=[LOOK])["message"]
        app.answer(stream=stream, messages=[*HELLO, message, result(message["tool_calls"][0]["id"])], tools=[LOOK])
        of_text = message["extra_content"]["google"]["thought_signature"]
        of_call = message["tool_calls"][0]["extra_content"]["google"]["thought_signature"]
        assert of_text != of_call
        assert signatures(google.requests[1]) == [[of_text, of_call]]

    @both
    @pytest.mark.parametrize("keeps", [True, False], ids=["carried by the client", "kept by agproxy"])
    @pytest.mark.parametrize("sign", [[True, False, False], [True, False, True], [True, True, False]], ids=str)
    def test_just_those_calls_are_signed_that_were(
        self, app: WholeApp, google: FakeGoogle, sign: list[bool | str], keeps: bool, stream: bool
    ) -> None:
        """F31 F33: Flash signs one or two of three parallel calls."""
        google.enqueue(calls(*[("look", {"at": at}) for at in "abc"], sign=sign), text("Done."))
        message = app.answer(stream=stream, tools=[LOOK])["message"]
        given = [
            each.get("extra_content", {}).get("google", {}).get("thought_signature") for each in message["tool_calls"]
        ]
        assert [each is not None for each in given] == sign
        if not keeps:
            message["tool_calls"] = [
                {name: each[name] for name in ("id", "type", "function")} for each in message["tool_calls"]
            ]
        results = [result(each["id"]) for each in message["tool_calls"]]
        if keeps:
            app = WholeApp(google)  # one that knows of nothing
        app.answer(stream=stream, tools=[LOOK], messages=[*HELLO, message, *results])
        assert signatures(google.requests[1]) == [given]

    @pytest.mark.parametrize(
        ("model", "dummy"),
        [
            *((model, "dummy") for model in (FLASH_3, "gemini-3.8-flash", "gemini-4-argon", LATEST, NOT_YET)),
            *((model, None) for model in (FLASH_25, "gemini-2.5-pro", "gemini-3-pro-image", "gemini-3.1-flash-image")),
        ],
    )
    def test_lost_ones_are_made_up_where_they_are_demanded_and_nowhere_else(
        self, app: WholeApp, google: FakeGoogle, model: str, dummy: str | None
    ) -> None:
        """F31 F32: on the first call of each step of the current turn, by the model's family and no list of names."""
        messages = [
            *HELLO,
            called(call("past")),
            result("past"),
            {"role": "assistant", "content": "So it was."},
            {"role": "user", "content": "And now?"},
            called(call("c1"), call("c2")),
            result("c2"),
            result("c1"),
            called(call("c3"), content="One more."),
            result("c3"),
        ]
        assert app.post(model=model, messages=messages, tools=[LOOK]).status_code == 200
        assert signatures(google.requests[0]) == [[None], [None], [dummy, None], [None, dummy]]

    def test_a_real_one_on_a_later_call_does_not_spare_the_first(self, app: WholeApp, google: FakeGoogle) -> None:
        """F32: only what is missing is made up."""
        google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "b"}), sign=[True, True]), text("Done."))
        message = app.answer(stream=False, tools=[LOOK])["message"]
        first, second = message["tool_calls"]
        message["tool_calls"] = [call("renamed", "a"), second]
        app.post(tools=[LOOK], messages=[*HELLO, message, result("renamed"), result(second["id"])])
        assert signatures(google.requests[1]) == [["dummy", second["extra_content"]["google"]["thought_signature"]]]
        assert first["id"] != "renamed"

    @both
    @pytest.mark.parametrize(
        "words",
        [
            "Corrupted thought signature.",
            "Invalid `signature` in content",
            "Invalid thought signature",
            "THOUGHT SIGNATURE IS NOT VALID",
            "Function call is missing a thought_signature in functionCall parts.",
        ],
    )
    def test_refusal_in_any_words_is_answered_with_the_dummy(
        self, app: WholeApp, google: FakeGoogle, words: str, stream: bool
    ) -> None:
        """F32"""
        google.enqueue(calls(("look", {"at": "x"})), error(400, message=words), text("Done."))
        message = app.answer(stream=stream, tools=[LOOK])["message"]
        results = [result(message["tool_calls"][0]["id"])]
        answer = app.answer(stream=stream, tools=[LOOK], messages=[*HELLO, message, *results])
        assert answer["message"]["content"] == "Done."
        assert signatures(google.requests[1]) != [["dummy"]]
        assert signatures(google.requests[2]) == [["dummy"]]

    @both
    @pytest.mark.parametrize("keeps", [True, False], ids=["carried by the client", "kept by agproxy"])
    def test_conversation_that_changes_its_project_goes_on(self, google: FakeGoogle, keeps: bool, stream: bool) -> None:
        """F32: a signature may be bound to the project that got it."""
        app = WholeApp(google, "ab")
        google.enqueue(calls(("look", {"at": "x"})), key="test-key-a")
        message = app.answer(stream=stream, tools=[LOOK])["message"]
        if not keeps:
            message["tool_calls"] = [{name: message["tool_calls"][0][name] for name in ("id", "type", "function")}]
        google.enqueue(quota_per_minute("60s"), key="test-key-a")
        messages = [*HELLO, message, result(message["tool_calls"][0]["id"])]
        assert app.answer(stream=stream, tools=[LOOK], messages=messages)["finish_reason"] == "stop"
        last = google.requests[-1]
        assert (last.key, signatures(last)) == ("test-key-b", [["dummy"]])
        assert all("hought signature" in str(each.refusal) for each in google.refusals)
        google.reset()  # agproxy may find out by a refusal

    @pytest.mark.parametrize("foreign", ["claude#not/base64!", "é", "A", ""], ids=repr)
    def test_foreign_signature_is_dropped(self, app: WholeApp, google: FakeGoogle, foreign: str) -> None:
        """F34: our side of it, for what another vendor signed is no value of Google's."""
        messages = [*HELLO, called(call("c1", signature=foreign)), result("c1")]
        app.post(tools=[LOOK], messages=messages)
        app.post(tools=[LOOK], messages=messages, model=FLASH_25)
        assert [signatures(request) for request in google.requests] == [[["dummy"]], [[None]]]

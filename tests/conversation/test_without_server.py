"""The conversation through the pure modules alone, and without agproxy: where it fails here, no server is to blame."""

from dataclasses import replace
from types import ModuleType

import pytest

from tests.conversation.gemini import GeminiOverHttp
from tests.conversation.play import Request, Step, play
from tests.conversation.speakers import WITHOUT_SERVER
from tests.conversation.table import MODELS, TURNS
from tests.conversation.turn import Tokens
from tests.conversation.wire import HttpWire, ServerEvent, server_events
from tests.conversation.without_server import WithoutServer
from tests.fake_google import FakeGoogle


@pytest.mark.parametrize("protocol", WITHOUT_SERVER, ids=lambda module: module.NAME)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_conversation(protocol: ModuleType, model: str, streamed: bool) -> None:
    agproxy = WithoutServer(protocol, model=model)
    speaker = WITHOUT_SERVER[protocol](agproxy, model)
    for step in play(speaker, agproxy, model=model, streamed=streamed):
        step.check()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_conversation_with_gemini_itself(model: str, streamed: bool) -> None:
    """The table asks of agproxy what a client of Google's own has without it."""
    with FakeGoogle(native=True) as google:
        wire = HttpWire(google.url, **{"x-goog-api-key": "test-key-a"})
        for step in play(GeminiOverHttp(wire, model, form="sse"), google, model=model, streamed=streamed):
            step.check()
        google.assert_no_refusals()


def test_each_name_of_the_table_stands_for_one_thing() -> None:
    parts = [part for turn in TURNS for part in turn.remembered]
    names = [part["functionCall"]["id"] for part in parts if "functionCall" in part]
    names += [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    assert len(set(names)) == len(names)


def test_a_stream_is_read() -> None:
    stream = ': ping\n\ndata: "\u2028"\n\nevent: a\ndata: {}\n\n'.encode()
    assert server_events(stream) == [ServerEvent("", '"\u2028"'), ServerEvent("a", "{}")]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: 1\n",
        b"data: 1\r\n\r\n",
        b"data: 1\n\n\n",
        b"data: 1\n\ndata: 2",
        b"data: 1\ndata: 2\n\n",
        b"data:1\n\n",
        b"event: a\n\n",
        b"event: a\nevent: b\ndata: 1\n\n",
        b": ping\ndata: 1\n\n",
    ],
)
def test_a_stream_of_another_form_fails(stream: bytes) -> None:
    with pytest.raises(AssertionError):
        server_events(stream)


def test_a_difference_is_named() -> None:
    turn = TURNS[0]
    wanted, found = ({"contents": [{"parts": parts}]} for parts in ([{"text": "a"}], [{"text": "b"}, {"text": ""}]))
    heard = replace(turn.heard, text="Hello", usage=Tokens(25, True))
    step = Step(turn, [Request("m", False, found)], Request("m", False, wanted), heard)
    with pytest.raises(AssertionError) as caught:
        step.check()
    assert str(caught.value).splitlines() == [
        "turn 'greeting':",
        "  received[0].body.contents[0].parts[0].text: 'b', not 'a'",
        "  received[0].body.contents[0].parts[1]: {'text': ''}, not nothing",
        "  heard.usage.output: True, not 9",
        f"  heard.text: 'Hello', not {turn.heard.text!r}",
    ]

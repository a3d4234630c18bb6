"""Tools of Anthropic Messages with the real anthropic SDK: a loop by hand, the SDK's own, and what results hold."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import beta_tool
from anthropic.types import ToolUseBlock

from tests.e2e.anthropic_sdk import ADAPTIVE, CLAUDE, WEATHER, ask, client_of, said, user
from tests.e2e.conftest import Agproxy, accounts_ini, start_gunicorn
from tests.e2e.test_chat import png
from tests.fake_google import FakeGoogle, RecordedRequest, calls, text, thoughts

MODELS = ("gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest", CLAUDE)
OSLO, ROME, BERN = (("get_weather", {"city": city}) for city in ("Oslo", "Rome", "Bern"))
STEPS = (thoughts("Where?") + calls(OSLO, OSLO, ROME), calls(BERN), text("It is cold."))

streaming = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """Another agproxy, with the same account and a state of its own."""
    with contextlib.ExitStack() as stack:
        yield start_gunicorn(stack, tmp_path_factory.mktemp("stranger"), accounts_ini(_google, "a"))


def result_of(call: ToolUseBlock) -> Any:
    return {"type": "tool_result", "tool_use_id": call.id, "content": f"5 degrees in {call.input['city']}"}


def results(request: RecordedRequest) -> list[Any]:
    """What a request told of all calls so far."""
    found = [part for content in request.contents for part in content["parts"] if "function_response" in part]
    return [part["function_response"]["response"] for part in found]


def assert_signed(google: FakeGoogle, steps: list[int]) -> None:
    """The calls came back, so many a step, the first of each with the signature that it was given; none has a dummy."""
    assert not [request.dummies for request in google.requests if request.dummies]
    turns = [[part for part in turn["parts"] if "function_call" in part] for turn in google.requests[-1].contents]
    made = [turn for turn in turns if turn]
    assert [len(turn) for turn in made] == steps
    if not google.requests[-1].model.startswith("gemini-2.5"):
        signatures = [turn[0].get("thought_signature") for turn in made]
        assert all(signature and google.ledger.find(signature) for signature in signatures), signatures


@pytest.mark.parametrize("memory", ["whole output", "calls alone", "another agproxy"])
@streaming
@pytest.mark.parametrize("model", MODELS)
def test_tool_loop_by_hand(
    agproxy: Agproxy, stranger: Agproxy, google: FakeGoogle, model: str, streamed: bool, memory: str
) -> None:
    """Signatures reach Google again whether the client remembers them, or agproxy."""
    google.enqueue(*STEPS)
    history = [user("How is the weather?")]
    for asked in (agproxy, stranger if memory == "another agproxy" else agproxy, agproxy):
        message = ask(asked, streamed=streamed, model=model, messages=history, tools=[WEATHER], thinking=ADAPTIVE)
        blocks = [block for block in message.content if memory != "calls alone" or block.type == "tool_use"]
        found = [block for block in blocks if block.type == "tool_use"]
        assert message.stop_reason == ("tool_use" if found else "end_turn")
        history += [{"role": "assistant", "content": blocks}, user([result_of(call) for call in found])]
    assert said(message) == "It is cold."
    assert_signed(google, [3, 1])
    assert [each["output"][-4:] for each in results(google.requests[-1])] == ["Oslo", "Oslo", "Rome", "Bern"]


@streaming
def test_tool_runner_of_the_sdk(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    """It asks for threads, which agproxy has not, and then sends the whole conversation each time."""
    asked = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return f"5 degrees in {city}"

    google.enqueue(*STEPS)
    body: Any = {"model": CLAUDE, "max_tokens": 1000, "messages": [user("How is the weather?")], "tools": [get_weather]}
    with client_of(agproxy) as client:
        last = client.beta.messages.tool_runner(**body, stream=streamed, thinking=ADAPTIVE).until_done()
    assert "".join(block.text for block in last.content if block.type == "text") == "It is cold."
    assert asked == ["Oslo", "Oslo", "Rome", "Bern"]
    assert len(google.requests) == 3
    assert_signed(google, [3, 1])
    assert [each["output"][-4:] for each in results(google.requests[-1])] == asked


def test_what_results_hold(agproxy: Agproxy, google: FakeGoogle) -> None:
    dot = png().partition(",")[2]
    contents: list[Any] = [
        {"content": [{"type": "text", "text": "Text in "}, {"type": "text", "text": "blocks."}]},
        {"content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": dot}}]},
        {"content": "It failed.", "is_error": True},
        {},
    ]
    ids = [f"toolu_{number}" for number in range(len(contents))]
    made = [{"type": "tool_use", "id": each, "name": "get_weather", "input": {"city": each}} for each in ids]
    told = [
        {"type": "tool_result", "tool_use_id": each, **content} for each, content in zip(ids, contents, strict=True)
    ]
    history = [user("Hi"), {"role": "assistant", "content": made}, user([*told, {"type": "text", "text": "Go on."}])]
    ask(agproxy, model="gemini-3-flash-preview", messages=history, tools=[WEATHER])
    request = google.requests[0]
    answers = results(request)
    assert [list(answer) for answer in answers] == [["output"], ["output"], ["error"], ["output"]]
    assert "Text in " in str(answers[0])
    assert "blocks." in str(answers[0])
    assert answers[2] == {"error": "It failed."}
    assert dot in str(request.contents)
    assert request.last_user_text == "Go on."


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ({"type": "any"}, {"mode": "ANY"}),
        ({"type": "tool", "name": "get_weather"}, {"mode": "ANY", "allowed_function_names": ["get_weather"]}),
        ({"type": "none"}, {"mode": "NONE"}),
    ],
)
def test_tool_choice(agproxy: Agproxy, google: FakeGoogle, choice: Any, config: Any) -> None:
    ask(agproxy, messages=[user("Hi")], tools=[WEATHER], tool_choice=choice)
    assert google.requests[0].canonical["tool_config"]["function_calling_config"] == config

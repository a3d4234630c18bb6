"""Stored Responses with the real openai SDK: conversations, lists of items, restarts, several workers."""

import contextlib
import itertools
import json
from typing import Any

import openai
import pytest
import requests

from tests.conversation.wire import server_events
from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_chat import ClientOf, png
from tests.e2e.test_pool import keys
from tests.e2e.test_responses import ENCRYPTED, WEATHER, ask, contents, streaming
from tests.e2e.test_state import halted, linux, posix, with_a_new_worker, worker_pids
from tests.facts.responses_app import ResponsesApp
from tests.fake_google import DUMMIES, FakeGoogle, calls, error_event, image, text, thoughts

MISSING = "resp_of_nobody"


def said(google: FakeGoogle, number: int = -1) -> list[tuple[str, str]]:
    """The turns that Google received, as (role, text)."""
    return [(role, "".join(part.get("text", "") for part in parts)) for role, parts in contents(google, number)]


# Conversations.


@streaming
def test_three_turns(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    """Google receives the whole conversation, in order, and the instructions of the last request alone."""
    google.enqueue(text("One."), text("Two."), text("Three."))
    client = client_of(agproxy)
    first = ask(client, streamed=streamed, input="First?", instructions="Be brief.")
    items: Any = [{"role": "user", "content": "Second"}, {"role": "user", "content": "?"}]
    second = ask(client, streamed=streamed, input=items, previous_response_id=first.id)
    third = ask(client, streamed=streamed, input="Third?", instructions="Be kind.", previous_response_id=second.id)
    assert [response.output_text for response in (first, second, third)] == ["One.", "Two.", "Three."]
    assert [response.previous_response_id for response in (first, second, third)] == [None, first.id, second.id]
    assert [response.instructions for response in (first, second, third)] == ["Be brief.", None, "Be kind."]
    assert said(google) == [
        ("user", "First?"),
        ("model", "One."),
        ("user", "Second?"),
        ("model", "Two."),
        ("user", "Third?"),
    ]
    instructions = [request.body.get("systemInstruction") for request in google.requests]
    assert instructions == [{"parts": [{"text": "Be brief."}]}, None, {"parts": [{"text": "Be kind."}]}]


@streaming
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
def test_tool_loop(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, model: str, streamed: bool) -> None:
    """Only results are sent; thoughts stay where they were made, and calls have their signatures."""
    google.enqueue(
        thoughts("Hm.")
        + text("Let me see. ")
        + calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "B"})),
        thoughts("Hm.") + calls(("get_weather", {"city": "Rome"})),
        text("Cold."),
    )
    client = client_of(agproxy)
    asked: Any = {"streamed": streamed, "model": model, "tools": [WEATHER]}
    response = ask(client, **asked, input="Weather?")
    for _ in range(2):
        called = [item for item in response.output if item.type == "function_call"]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": "-5"} for call in called]
        response = ask(client, **asked, input=results, previous_response_id=response.id)
    assert response.output_text == "Cold."
    turns = contents(google)
    assert [role for role, _ in turns] == ["user", "model", "user", "model", "user"]
    assert [len(parts) for _, parts in turns] == [1, 3, 2, 1, 1]
    signatures = [part.get("thoughtSignature") for _, parts in turns for part in parts]
    assert sum(signature is not None for signature in signatures) == (0 if model == "gemini-2.5-flash" else 2)
    assert not any(signature in DUMMIES for signature in signatures)


def test_a_conversation_may_fork(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(text("One."), text("Left."), text("Right."))
    client = client_of(agproxy)
    first = ask(client, streamed=False, input="First?")
    for way in ("Left?", "Right?"):
        ask(client, streamed=False, input=way, previous_response_id=first.id)
        assert said(google) == [("user", "First?"), ("model", "One."), ("user", way)]


def test_a_conversation_has_one_account(serve: Serve, client_of: ClientOf, google: FakeGoogle) -> None:
    """Another one comes between its turns, and their instructions change."""
    client = client_of(serve("a", "b"))
    previous: dict[str, str] = {}
    for turn, name in enumerate("xyyxxy"):  # by turns the accounts would be a, b, a, b, a, b
        before, streamed = previous.get(name), turn % 2 == 0
        response = ask(
            client, streamed=streamed, input=f"{turn}", instructions=f"At {turn}.", previous_response_id=before
        )
        previous[name] = response.id
    assert keys(google) == ["a", "b", "b", "a", "a", "b"]


# What the client holds.


@streaming
def test_retrieve_gives_what_was_answered(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool
) -> None:
    google.enqueue(thoughts("Hm.") + text("Yes. ") + calls(("get_weather", {"city": "Oslo"})))
    client = client_of(agproxy)
    options: Any = {"tools": [WEATHER], "metadata": {"a": "b"}, "include": [ENCRYPTED]}
    answered = ask(client, streamed=streamed, **options)
    found = client.responses.retrieve(answered.id)
    assert [item.type for item in found.output] == ["reasoning", "message", "reasoning", "function_call"]
    assert found.to_dict() == without_parsed(answered)


def without_parsed(response: Any) -> Any:
    """What came over the wire, and not what the SDK or a client of Chat Completions reads beside it."""
    told = response.to_dict()
    told.pop("choices", None)
    for item in told["output"]:
        item.pop("parsed_arguments", None)
        for part in item.get("content", ()):
            part.pop("parsed", None)
    return told


@pytest.mark.parametrize(
    ("answer", "status"),
    [(text("Once", finish="MAX_TOKENS"), "incomplete"), (text("Half", finish=None) + error_event(503), "failed")],
)
def test_other_ends_are_kept_too(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, answer: Any, status: str
) -> None:
    google.enqueue(answer)
    client = client_of(agproxy)
    stream = client.responses.create(model="gpt-5.5", input="Hi", stream=True)
    begun: Any = next(iter(stream))
    with contextlib.suppress(openai.APIError):
        list(stream)
    found = client.responses.retrieve(begun.response.id)
    assert (found.status, found.output_text) == (status, "Once" if status == "incomplete" else "Half")


@streaming
def test_store_false_is_not_stored(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    client = client_of(agproxy)
    response = ask(client, streamed=streamed, store=False)
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.retrieve(response.id)
    assert missing.value.code == "response_not_found"
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, streamed=streamed, previous_response_id=response.id)
    assert (unknown.value.code, unknown.value.param) == ("previous_response_not_found", "previous_response_id")
    assert "store" in str(unknown.value)
    assert len(google.requests) == 1


def test_delete(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    client = client_of(agproxy)
    first = ask(client, streamed=False)
    second = ask(client, streamed=False, previous_response_id=first.id)
    assert client.responses.with_raw_response.delete(first.id).http_response.json() == {
        "id": first.id,
        "object": "response",
        "deleted": True,
    }
    for again in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            again(first.id)
    with pytest.raises(openai.NotFoundError, match="beginning") as broken:
        ask(client, streamed=False, previous_response_id=second.id)
    assert broken.value.param == "previous_response_id"
    assert client.responses.retrieve(second.id).previous_response_id == first.id


def test_only_what_runs_in_the_background_is_cancelled(agproxy: Agproxy, client_of: ClientOf) -> None:
    client = client_of(agproxy)
    response = ask(client, streamed=False)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel(MISSING)
    with pytest.raises(openai.BadRequestError) as streamed:
        list(client.responses.retrieve(response.id, stream=True))
    assert streamed.value.param == "stream"


def test_items_of_an_input_come_in_pages(agproxy: Agproxy, client_of: ClientOf) -> None:
    client = client_of(agproxy)
    turns = [{"role": "assistant" if turn % 2 else "user", "content": f"Turn {turn}"} for turn in range(7)]
    response = ask(client, streamed=False, input=turns)
    items: Any = list(client.responses.input_items.list(response.id, limit=3, order="asc"))
    assert [item.content[0].text for item in items] == [f"Turn {turn}" for turn in range(7)]
    assert [item.content[0].type for item in items] == ["input_text", "output_text"] * 3 + ["input_text"]
    assert len({item.id for item in items}) == 7
    assert {(item.type, item.status) for item in items} == {("message", "completed")}
    backwards: Any = list(client.responses.input_items.list(response.id, limit=2))
    assert [item.id for item in backwards] == [item.id for item in reversed(items)]
    page: Any = client.responses.input_items.list(response.id, after=items[1].id, limit=2, order="asc")
    assert [item.id for item in page.data] == [items[2].id, items[3].id] == [page.first_id, page.last_id]
    assert page.has_more


def test_pages_end_where_an_id_stands_twice(agproxy: Agproxy, client_of: ClientOf) -> None:
    """Codex sends items twice after a stream that broke off."""
    client = client_of(agproxy)
    ids = ("msg_1", "msg_2", "msg_1", "msg_1")
    given = [{"type": "message", "id": id_, "role": "user", "content": f"{at}"} for at, id_ in enumerate(ids)]
    response = ask(client, streamed=False, input=given)
    pages: Any = client.responses.input_items.list(response.id, limit=1, order="asc")
    items: Any = list(itertools.islice(pages, 10))
    assert [item.content[0].text for item in items] == ["0", "1", "2", "3"]
    assert items[0].id == "msg_1"


def test_items_of_an_input_have_all_that_a_client_reads(agproxy: Agproxy, client_of: ClientOf) -> None:
    client = client_of(agproxy)
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'}
    given: Any = [
        {"role": "user", "content": [{"type": "input_image", "image_url": png()}]},
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": "-5"},
    ]
    response = ask(client, streamed=False, input=given, tools=[WEATHER])
    items: Any = client.responses.input_items.list(response.id, order="asc").data
    assert [(item.type, item.status) for item in items] == [
        ("message", "completed"),
        ("function_call", "completed"),
        ("function_call_output", "completed"),
    ]
    assert (items[0].content[0].detail, items[0].content[0].image_url) == ("auto", png())
    assert items[2].output == "-5"
    only_new = ask(client, streamed=False, input="And now?", previous_response_id=response.id)
    (item,) = client.responses.input_items.list(only_new.id).data
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "And now?"}]


@pytest.mark.parametrize("form", [{"type": "item_reference"}, {}], ids=["with type", "id alone"])
def test_items_can_be_referred_to(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, form: dict[str, str]
) -> None:
    """As the AI SDK does where it is not told to store nothing; a call it sends whole, its reasoning as a reference."""
    google.enqueue(thoughts("Hm.") + text("Let me see. ") + calls(("get_weather", {"city": "Oslo"})), text("Cold."))
    client = client_of(agproxy)
    asked: Any = {"streamed": False, "model": "gemini-3-flash-preview", "tools": [WEATHER]}
    first = ask(client, **asked, input="Weather?")
    *told, call = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "-5"}
    sent = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    question = {"role": "user", "content": "Weather?"}
    items: Any = [question, *({**form, "id": item.id} for item in told), sent, result]
    assert ask(client, **asked, input=items).output_text == "Cold."
    _, (_, (words, called)), _ = contents(google)
    assert words == {"text": "Let me see. "}
    assert called["thoughtSignature"] not in DUMMIES
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, **asked, input=[question, {**form, "id": "msg_of_nobody"}])
    assert (unknown.value.param, unknown.value.code) == ("input[1]", "item_not_found")


@streaming
def test_image_stays_in_the_conversation(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool
) -> None:
    google.enqueue(text("Here: ") + image("iVBORw0KGgo="), text("Thanks."))
    client = client_of(agproxy)
    asked: Any = {"streamed": streamed, "model": "gemini-3-pro-image"}
    response = ask(client, **asked, input="Draw!")
    message, drawn = response.output
    assert (message.type, drawn.type, drawn.status) == ("message", "image_generation_call", "completed")
    assert drawn.result == "iVBORw0KGgo="
    ask(client, **asked, input="And now?", previous_response_id=response.id)
    _, (_, parts), _ = contents(google)
    assert parts == [{"text": "Here: "}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK's type has no user's messages, OpenAI has
@streaming
def test_conversation_is_compacted(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    """The user's words stay; all else is a summary, which Google then reads in their place."""
    google.enqueue(text("One."), text("They spoke of numbers."), text("Two."))
    client = client_of(agproxy)
    first = ask(client, streamed=streamed, input="First?")
    more: Any = [
        {"role": "user", "content": "Look."},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "-5"},
    ]
    compacted = client.responses.compact(model="gpt-5.5", input=more, previous_response_id=first.id)
    assert (compacted.object, compacted.usage.total_tokens > 0) == ("response.compaction", True)
    assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
    asked = json.dumps(contents(google))
    assert all(words in asked for words in ("First?", "One.", "Look.", "-5"))
    items: Any = [*compacted.output, {"role": "user", "content": "Second?"}]
    assert ask(client, streamed=streamed, input=items).output_text == "Two."
    words = "".join(words for _, words in said(google))
    assert "One." not in words
    places = [words.index(each) for each in ("First?", "Look.", "They spoke of numbers.", "Second?")]
    assert places == sorted(places)


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY"])
def test_summary_that_is_not_whole_is_no_summary(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, reason: str
) -> None:
    google.enqueue(text("They spoke of", finish=reason))
    with pytest.raises(openai.InternalServerError, match="could not be summed up"):
        client_of(agproxy).responses.compact(model="gpt-5.5", input="First?")


# Restarts, and several workers.


@posix
@pytest.mark.parametrize("again", ["restarted", "with a new worker"])
@streaming
def test_stored_responses_survive(
    serve: Serve, client_of: ClientOf, google: FakeGoogle, streamed: bool, again: str
) -> None:
    google.enqueue(text("One."), text("Two."))
    agproxy = serve("a")
    with client_of(agproxy) as client:
        first = ask(client, streamed=streamed, input="First?")
    if again == "restarted":
        agproxy.stop()
        agproxy = serve("a")
    else:
        with_a_new_worker(agproxy, lambda: serve("a"))
    client = client_of(agproxy, max_retries=2)
    assert client.responses.retrieve(first.id).to_dict() == without_parsed(first)
    assert ask(client, streamed=streamed, input="Second?", previous_response_id=first.id).output_text == "Two."
    assert said(google) == [("user", "First?"), ("model", "One."), ("user", "Second?")]


@linux
def test_workers_see_each_others(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", workers=2)
    one, other = worker_pids(agproxy, 2)
    with halted(other):
        first = post(agproxy, input="First?")
    with halted(one):
        assert agproxy.get(f"/v1/responses/{first['id']}").json()["output"] == first["output"]
        post(agproxy, input="Another one?")  # takes the next account
        second = post(agproxy, input="Second?", instructions="Be brief.", previous_response_id=first["id"])
    with halted(other):
        post(agproxy, input="Third?", previous_response_id=second["id"])
    assert [words for _, words in said(google)][::2] == ["First?", "Second?", "Third?"]
    assert [keys(google)[turn] for turn in (0, 2, 3)] == ["a"] * 3


def post(agproxy: Agproxy, **body: Any) -> Any:
    response = requests.post(agproxy.url + "/v1/responses", json={"model": "gpt-5.5", **body}, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def test_is_stored_before_its_last_event_is_made(google: FakeGoogle) -> None:
    """Nothing is done once it is: whoever reads it may ask for the response at once."""
    app = ResponsesApp(google)
    with app.post(stream=True, buffered=False) as response:
        piece = next(piece for piece in response.iter_encoded() if b"event: response.completed" in piece)
        told = next(json.loads(event.data)["response"] for event in server_events(piece) if "completed" in event.name)
        assert app.get(f"/v1/responses/{told['id']}").json == told


@linux
def test_any_worker_knows_it_once_its_last_event_is_out(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", workers=2)
    worker_pids(agproxy, 2)
    url, body = agproxy.url + "/v1/responses", {"model": "gpt-5.5", "input": "Hi", "stream": True}
    for _ in range(40):
        with requests.post(url, json=body, stream=True, timeout=30) as response:
            for line in response.iter_lines(chunk_size=1):
                if line.startswith(b'data: {"type":"response.completed"'):
                    told = json.loads(line[6:])["response"]
                    found = requests.get(f"{url}/{told['id']}", timeout=30)
                    assert found.status_code == 200
                    assert found.json() == told
                    break
            else:
                pytest.fail("the stream has no end")

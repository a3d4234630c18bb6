"""The whole application as a client of Responses sees it: bodies of both kinds, and answers that are stored."""

import base64
import json
from collections.abc import Iterator

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseItemList
from werkzeug.test import TestResponse

from agproxy import stored
from tests.facts.responses_app import LOOK, ResponsesApp
from tests.fake_google import DUMMIES, FakeGoogle, calls, cut, quota_per_minute, text, thoughts
from tests.protocols.answers import accumulated, validated
from tests.response_bodies import hosted_body
from tests.responses_stream import read, text_of
from tests.whole_app import HELLO, Json, contents

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
SEALED = ["reasoning.encrypted_content"]


class App(ResponsesApp):
    """A client of Responses that asks for what is stored, too."""

    def get(self, path: str) -> TestResponse:
        return self._at("GET", path)

    def delete(self, path: str) -> TestResponse:
        return self._at("DELETE", path)

    def _at(self, method: str, path: str) -> TestResponse:
        return self._client.open(
            f"{RESPONSES}/{path}",
            method=method,
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
        )

    def page(self, path: str) -> Json:
        """A page of items."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        ResponseItemList.model_validate(response.json, strict=True)
        return response.json


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> App:
    return App(google)


both = pytest.mark.parametrize("stream", [False, True])


def error(response: TestResponse) -> tuple[int, Json, Json]:
    """Status, field and code of an error that is told in OpenAI's form."""
    assert response.json is not None
    told = response.json["error"]
    assert told["message"]
    return response.status_code, told["param"], told["code"]


def ignored(response: TestResponse) -> list[str]:
    return response.headers.get("X-Agproxy-Ignored", "").split(", ")


# Bodies of one protocol on the route of the other.


@both
def test_body_of_chat_completions_is_answered_with_a_response(app: App, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("Hello", " there"))
    body = {"model": "gpt-4o", "messages": [{"role": "system", "content": "Be kind."}, *HELLO], "stream": stream}
    response = app._client.post(
        RESPONSES, json=body, base_url="http://127.0.0.1:8045", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}
    )
    assert response.status_code == 200, response.text
    if stream:
        told = read(response.data)
        choices = [choice for event in told.events for choice in event.get("choices", ())]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello there"
        assert choices[-1]["finish_reason"] == "stop"
        whole = told.response
    else:
        assert response.json is not None
        whole = response.json
        assert whole["choices"][0]["message"]["content"] == "Hello there"
    assert (text_of(whole), whole["store"]) == ("Hello there", False)
    assert google.requests[0].body["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
    assert app.get(whole["id"]).status_code == 404


@both
def test_body_of_responses_is_answered_with_a_chat_completion(app: App, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(thoughts("Hm.") + calls(("look", {"at": "sky"})))
    body: Json = {"instructions": "Be kind.", "tools": [LOOK], "reasoning": {"summary": "auto"}, "stream": stream}
    response = app.post(path=CHAT, **body)
    assert response.status_code == 200, response.text
    if stream:
        chunks = [json.loads(line[6:]) for line in response.text.split("\n\n")[:-2]]
        for chunk in chunks:
            validated(chunk)
        (choice,) = accumulated(chunks).values()
    else:
        ChatCompletion.model_validate(response.json, strict=True)
        assert response.json is not None
        (choice,) = response.json["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (call["function"], choice["finish_reason"]) == (
        {"name": "look", "arguments": '{"at":"sky"}'},
        "tool_calls",
    )
    assert choice["message"]["reasoning_content"] == "Hm."
    assert google.requests[0].body["systemInstruction"] == {"parts": [{"text": "Be kind."}]}


def test_stored_conversation_is_not_for_chat_completions(app: App) -> None:
    id_ = app.answer(stream=False)["id"]
    assert error(app.post(path=CHAT, previous_response_id=id_))[:2] == (400, "previous_response_id")


def test_conversation_of_hosted_tools_is_taken(app: App, google: FakeGoogle) -> None:
    items = [
        {name: value for name, value in item.items() if name != "extra_content"} for item in hosted_body()["input"]
    ]
    assert app.answer(stream=False, input=items)["status"] == "completed"
    names = [
        part["functionCall"]["name"]
        for _, parts in contents(google.requests[0])
        for part in parts
        if "functionCall" in part
    ]
    assert names == [
        *("shell", "local_shell", "apply_patch", "computer", "tool_search", "read", "code_interpreter", "file_search"),
        "look",
    ]


# What is stored.


@both
def test_response_is_stored_as_it_went_out(app: App, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("Hello"))
    told = app.answer(stream=stream, metadata={"a": "b"})
    assert told["completed_at"] >= told["created_at"]
    kept = app.get(told["id"])
    assert (kept.status_code, kept.json) == (200, told)


@both
def test_response_that_broke_off_is_stored_too(app: App, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("Hel", "lo", finish="MAX_TOKENS"))
    told = app.answer(stream=stream)
    assert (told["status"], told["completed_at"]) == ("incomplete", None)
    assert app.get(told["id"]).json == told
    google.enqueue(cut(text("Hel", "lo"), after_events=1))
    failed = app.told().response
    assert (failed["status"], text_of(failed)) == ("failed", "Hel")
    assert app.get(failed["id"]).json == failed


@both
def test_response_is_not_stored_unless_wanted(app: App, stream: bool) -> None:
    told = app.answer(stream=stream, store=False)
    assert told["store"] is False
    for path in (told["id"], f"{told['id']}/input_items"):
        assert error(app.get(path)) == (404, None, "response_not_found")
    assert error(app.delete(told["id"])) == (404, None, "response_not_found")
    assert error(app.post(previous_response_id=told["id"]))[1:] == (
        "previous_response_id",
        "previous_response_not_found",
    )


def test_response_that_is_deleted_is_gone(app: App) -> None:
    id_ = app.answer(stream=False)["id"]
    deleted = app.delete(id_)
    assert (deleted.status_code, deleted.json) == (200, {"id": id_, "object": "response", "deleted": True})
    assert app.get(id_).status_code == app.delete(id_).status_code == 404


@pytest.mark.parametrize("id_", ["resp_0", "x", "resp_%C3%BC", "a" * 3000, "..%2f..", "%ff"])
def test_unknown_id_is_not_found(app: App, id_: str) -> None:
    for path in (id_, f"{id_}/input_items"):
        assert app.get(path).status_code == 404
    assert app.delete(id_).status_code == 404


def test_stored_response_is_not_streamed_again(app: App) -> None:
    id_ = app.answer(stream=False)["id"]
    assert error(app.get(f"{id_}?stream=true"))[:2] == (400, "stream")
    assert app.get(f"{id_}?stream=false&include[]=x&starting_after=3").status_code == 200


def test_only_what_runs_in_the_background_is_cancelled(app: App) -> None:
    id_ = app.answer(stream=False)["id"]
    assert error(app.post(path=f"{RESPONSES}/{id_}/cancel"))[0] == 400
    assert error(app.post(path=f"{RESPONSES}/resp_0/cancel"))[0] == 404


def test_input_over_the_bound_is_answered_but_not_stored(app: App) -> None:
    small = app.post(input="x" * (stored.MAX_INPUT_BYTES - 500))
    large = app.post(input="x" * stored.MAX_INPUT_BYTES)
    assert small.json is not None
    assert large.json is not None
    assert (small.json["store"], ignored(small)) == (True, [""])
    assert (large.json["store"], ignored(large)) == (False, ["store"])
    assert app.get(small.json["id"]).status_code == 200
    assert app.get(large.json["id"]).status_code == 404
    streamed = app.post(input="x" * stored.MAX_INPUT_BYTES, stream=True)
    assert (read(streamed.data).response["store"], ignored(streamed)) == (False, ["store"])
    assert ignored(app.post(input="x" * stored.MAX_INPUT_BYTES, store=False)) == [""]


# Items of an input.


def test_items_of_an_input_come_in_pages(app: App) -> None:
    turns = [{"role": "assistant" if turn % 2 else "user", "content": f"Turn {turn}"} for turn in range(25)]
    id_ = app.answer(stream=False, input=turns, instructions="Be kind.")["id"]
    first = app.page(f"{id_}/input_items")
    assert (len(first["data"]), first["has_more"]) == (20, True)
    rest = app.page(f"{id_}/input_items?after={first['last_id']}&limit=100")
    assert (len(rest["data"]), rest["has_more"]) == (5, False)
    texts = [item["content"][0]["text"] for item in (*first["data"], *rest["data"])]
    assert texts == [f"Turn {turn}" for turn in range(24, -1, -1)]
    assert app.page(f"{id_}/input_items?order=asc&limit=100")["data"] == [*first["data"], *rest["data"]][::-1]
    for query, param in (("limit=0", "limit"), ("order=up", "order"), ("after=msg_0", "after")):
        assert error(app.get(f"{id_}/input_items?{query}"))[:2] == (400, param)


def test_items_of_an_input_are_those_of_its_turn(app: App) -> None:
    first = app.answer(stream=False, input="First")
    second = app.answer(stream=False, input="Second", previous_response_id=first["id"])
    (item,) = app.page(f"{second['id']}/input_items")["data"]
    assert item["content"] == [{"type": "input_text", "text": "Second"}]


# Conversations.


@both
def test_conversation_is_carried_on(app: App, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(calls(("look", {"at": "sky"})), text("Rain."), text("Still."))
    first = app.answer(stream=stream, input="Weather?", instructions="Be kind.", tools=[LOOK])
    (call,) = first["output"]
    result = [{"type": "function_call_output", "call_id": call["call_id"], "output": "wet"}]
    second = app.answer(stream=stream, input=result, previous_response_id=first["id"], tools=[LOOK])
    third = app.answer(stream=stream, input="And now?", previous_response_id=second["id"])
    assert third["previous_response_id"] == second["id"]
    assert "systemInstruction" not in google.requests[2].body
    asked, called, answered, said, again = contents(google.requests[2])
    assert (asked, again) == (("user", [{"text": "Weather?"}]), ("user", [{"text": "And now?"}]))
    assert said == ("model", [{"text": "Rain."}])
    assert called[1][0]["functionCall"]["args"] == {"at": "sky"}
    assert answered[1][0]["functionResponse"]["response"] == {"output": "wet"}
    (signed,) = contents(google.requests[1])[1][1]
    assert signed["thoughtSignature"] not in DUMMIES


def test_conversation_stays_with_its_account(google: FakeGoogle) -> None:
    app = App(google, "ab")
    ids = [app.answer(stream=False, input=words)["id"] for words in ("First", "Second")]
    for turn in range(4):
        ids = [app.answer(stream=False, input=f"Turn {turn}", previous_response_id=id_)["id"] for id_ in ids]
    assert [request.key for request in google.requests] == ["test-key-a", "test-key-b"] * 5


def test_conversation_goes_over_to_another_account_with_a_key_of_its_own(google: FakeGoogle) -> None:
    app = App(google, "ab")
    id_ = app.answer(stream=False, input="First", prompt_cache_key="abc")["id"]
    google.enqueue(quota_per_minute("30s"))
    id_ = app.answer(stream=False, input="Next", previous_response_id=id_)["id"]
    app.answer(stream=False, input="Last", previous_response_id=id_)
    assert [request.key for request in google.requests] == [f"test-key-{name}" for name in "aabb"]


def test_conversation_whose_beginning_is_lost_is_not_found(app: App, google: FakeGoogle) -> None:
    first = app.answer(stream=False)
    second = app.answer(stream=False, previous_response_id=first["id"])
    app.delete(first["id"])
    for stream in (False, True):
        told = error(app.post(previous_response_id=second["id"], stream=stream))
        assert told == (404, "previous_response_id", "previous_response_not_found")
    assert app.get(second["id"]).status_code == 200
    assert len(google.requests) == 2


@pytest.mark.parametrize("id_", ["resp_0", "", "x" * 5000, "resp_\ud7ff\n"])
def test_unknown_conversation_is_not_found(app: App, google: FakeGoogle, id_: str) -> None:
    response = app.post(previous_response_id=id_)
    if id_:
        assert error(response) == (404, "previous_response_id", "previous_response_not_found")
        assert google.requests == []
    else:
        assert response.status_code == 200


def test_items_can_be_referred_to(app: App, google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm.") + text("Let me see. ") + calls(("look", {"at": "sky"})), text("Rain."))
    asked = {"input": "Weather?", "tools": [LOOK], "include": SEALED, "reasoning": {"summary": "auto"}}
    first = app.answer(stream=True, **asked)
    items = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    result = {"type": "function_call_output", "call_id": first["output"][-1]["call_id"], "output": "wet"}
    (question,) = app.page(f"{first['id']}/input_items")["data"]
    second = app.answer(stream=False, **{**asked, "input": [{"id": question["id"]}, *items, result]})
    assert text_of(second) == "Rain."
    opened, (_, (words, called)), _ = contents(google.requests[1])
    assert (opened, words) == (("user", [{"text": "Weather?"}]), {"text": "Let me see. "})
    assert called["thoughtSignature"] not in DUMMIES
    assert len(app.page(f"{second['id']}/input_items")["data"]) == len(items) + 2  # whole, and not as references


@both
def test_item_that_is_not_stored_is_not_found(app: App, stream: bool) -> None:
    told = app.answer(stream=False, store=False)
    for id_ in (told["output"][0]["id"], "rs_0", "rs_0_1_2"):
        items = [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": id_}]
        assert error(app.post(input=items, stream=stream)) == (404, "input[1]", "item_not_found")


# Signatures that the client carries.


@both
def test_sealed_signatures_serve_where_nothing_is_stored(google: FakeGoogle, stream: bool) -> None:
    google.enqueue(calls(("look", {"at": "sky"})), text("Rain."))
    asked = {"tools": [LOOK], "include": SEALED, "store": False}
    first = App(google).answer(stream=stream, **asked, input="Weather?")
    result = {"type": "function_call_output", "call_id": first["output"][-1]["call_id"], "output": "wet"}
    items = [{"role": "user", "content": "Weather?"}, *first["output"], result]
    App(google).answer(stream=stream, **asked, input=items)
    (called,) = contents(google.requests[1])[1][1]
    assert called["thoughtSignature"] not in DUMMIES


@pytest.mark.parametrize("signature", [r"\ud800", "!", "", r"\u0000", "skip_thought_signature_validator", " ", "QU JD"])
def test_forged_signature_is_googles_to_judge_or_left_out(app: App, google: FakeGoogle, signature: str) -> None:
    forged = '{"a":{"google":{"thought_signature":"%s"}}}' % signature  # noqa: UP031 (braces)
    content = f"agproxy1.{base64.b64encode(forged.encode()).decode()}"
    items = [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "wet"},
    ]
    assert app.post(input=items, tools=[LOOK]).status_code == 200


# How many tokens, and faults.


def test_tokens_of_an_input_are_counted(app: App, google: FakeGoogle) -> None:
    path = f"{RESPONSES}/input_tokens"
    few = app.post(path=path, input="Hi").json
    assert few is not None
    assert few["object"] == "response.input_tokens"
    first = app.answer(stream=False, input="A longer question with many words in it")
    more = app.post(path=path, input="Hi", instructions="Be kind.", previous_response_id=first["id"]).json
    assert more is not None
    assert 0 < few["input_tokens"] < more["input_tokens"]
    assert [request.method for request in google.requests].count("countTokens") in (0, 2)
    assert error(app.post(path=path, input=[]))[:2] == (400, "input")
    assert error(app.post(path=path, input=[{"id": "rs_0"}]))[0] == 404


@both
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"role": "judge", "content": "Hi"}]}, "input[0].role"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ],
)
def test_fault_is_told_before_anything_is_asked(
    app: App, google: FakeGoogle, body: Json, param: str, stream: bool
) -> None:
    assert error(app.post(**body, stream=stream))[:2] == (400, param)
    assert google.requests == []


def test_fields_that_are_not_honoured_are_listed(app: App) -> None:
    assert ignored(app.post(user="me", truncation="auto", include=["file_search_call.results"])) == [
        *("user", "truncation", "include[].file_search_call.results"),
    ]

"""What a new user does, in each mode of authentication, with curl and the real SDK; offline, on the demo."""

import json
import subprocess
from typing import Any

import openai
import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_chat import ClientOf

KEY = "agp-a-key-for-tests"
MODES = ("off", "strict", "all_except_health", "auto")
# With whom a mode wants the key: health, everything else.
NEEDS_KEY = {"off": (False, False), "strict": (True, True), "all_except_health": (False, True), "auto": (False, False)}


def curl(agproxy: Agproxy, path: str, *options: str, key: str | None = None) -> str:
    argv = ["curl", "-sS", "--max-time", "20", *options, agproxy.url + path]
    if key:
        argv += ["-H", f"Authorization: Bearer {key}"]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


def chat_options(**body: Any) -> list[str]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **body}
    return ["-H", "Content-Type: application/json", "-d", json.dumps(body)]


@pytest.mark.parametrize("mode", MODES)
def test_walkthrough(serve: Serve, client_of: ClientOf, mode: str) -> None:
    agproxy = serve(ini=f"[server]\nauth_mode = {mode}\napi_key = {KEY}\n")
    health_needs_key, needs_key = NEEDS_KEY[mode]
    assert curl(agproxy, "/healthz", key=KEY) == '{"status":"ok"}'
    assert (curl(agproxy, "/health") == '{"status":"ok"}') is not health_needs_key
    models = json.loads(curl(agproxy, "/v1/models", key=KEY))
    assert {"gemini-flash-latest", "gpt-4o"} <= {model["id"] for model in models["data"]}

    client = client_of(agproxy, api_key=KEY)
    reply = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    assert (reply.choices[0].message.content or "").startswith("[agproxy demo]")
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"

    streamed = curl(agproxy, "/v1/chat/completions", "-N", *chat_options(stream=True), key=KEY)
    assert streamed.endswith("data: [DONE]\n\n")
    head, _, body = curl(agproxy, "/v1/chat/completions", "-i", *chat_options(), key=KEY).partition("\n\n")
    assert "X-Mapped-Model: gemini-flash-latest" in head
    assert json.loads(body)["model"] == "gpt-4o"

    wrong = client_of(agproxy, api_key="wrong")
    if needs_key:
        with pytest.raises(openai.AuthenticationError):
            wrong.models.list()
    else:
        assert wrong.models.list().data


@pytest.mark.parametrize("place", ["bearer", "x-api-key", "x-goog-api-key", "query"])
def test_the_key_may_come_in_four_places(serve: Serve, place: str) -> None:
    agproxy = serve(ini=f"[server]\nauth_mode = strict\napi_key = {KEY}\n")
    headers = {"bearer": {"Authorization": f"bearer {KEY}"}, "query": {}}.get(place, {place: KEY})
    query = f"?key={KEY}" if place == "query" else ""
    assert agproxy.get("/v1/models" + query, headers=headers).status_code == 200
    assert agproxy.get("/v1/models", headers={"x-api-key": "wrong"}).status_code == 401
    both = {"Authorization": "Bearer wrong", "x-api-key": KEY}
    assert agproxy.get("/v1/models", headers=both).status_code == 401
    assert KEY not in agproxy.log()


def test_an_empty_key_lets_nobody_in_and_says_why(serve: Serve) -> None:
    agproxy = serve(ini="[server]\nauth_mode = strict\n")
    response = agproxy.get("/v1/models", headers={"Authorization": "Bearer "})
    assert response.status_code == 401
    assert "none configured" in response.json()["error"]["message"]


@pytest.mark.parametrize("mode", MODES)
def test_unknown_paths_are_404_without_a_key(serve: Serve, mode: str) -> None:
    agproxy = serve(ini=f"[server]\nauth_mode = {mode}\napi_key = {KEY}\n")
    wrong = agproxy.get("/v2/models")
    assert wrong.status_code == 404
    assert f"{agproxy.url}/v1" in wrong.json()["error"]["message"]
    method = agproxy.get("/v1/chat/completions")
    assert method.status_code == 405
    assert method.headers["Allow"] == "POST, OPTIONS"
    assert agproxy.get("/v1/messages/batches").json()["type"] == "error"
    assert agproxy.get("/v1beta/files").json()["error"]["status"] == "NOT_FOUND"
    assert requests.options(agproxy.url + "/v1/chat/completions", timeout=10).status_code == 204


def test_tools_and_thoughts_of_the_demo(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve())
    tools: list[Any] = [
        {
            "type": "function",
            "function": {
                "name": "look_up",
                "parameters": {
                    "type": "object",
                    "properties": {"word": {"type": "string"}, "count": {"type": "integer"}},
                    "required": ["word", "count"],
                },
            },
        }
    ]
    messages: list[Any] = [{"role": "user", "content": "demo:think demo:tool"}]
    message = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools).choices[0].message
    call = (message.tool_calls or [])[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"word": "demo", "count": 1}
    messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "found"}]
    reply = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    assert "found" in (reply.choices[0].message.content or "")


def test_the_demo_does_not_stand_in_for_an_account_whose_key_cannot_be_read(serve: Serve) -> None:
    agproxy = serve(ini="[account:broken]\napi_key = env:NO_SUCH_VARIABLE_HERE\n")
    response = agproxy.chat()
    assert response.status_code == 502
    assert "agproxy check" in response.json()["error"]["message"]
    assert "NO_SUCH_VARIABLE_HERE" not in response.text
    assert "NO_SUCH_VARIABLE_HERE" in agproxy.log()

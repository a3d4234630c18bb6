"""Bad input to Responses over real sockets: a clear error each time, and the worker goes on serving."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from agproxy.stored import MAX_BYTES
from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_bad_input import exchange
from tests.fake_google import FakeGoogle

Json = Any

GOOD: Json = {"model": "gpt-5.5", "input": "Hi"}
LOOK: Json = {"type": "function", "name": "look"}


def message(content: Json) -> Json:
    return {"input": [{"role": "user", "content": content}]}


def image(url: Json) -> Json:
    return message([{"type": "input_image", "image_url": url}])


def file(**fields: Json) -> Json:
    return message([{"type": "input_file", **fields}])


def post(agproxy: Agproxy, data: bytes, path: str = "", **headers: str) -> requests.Response:
    headers = {"Content-Type": "application/json", **headers}
    return requests.post(agproxy.url + "/v1/responses" + path, data=data, headers=headers, timeout=30)


def error_of(response: requests.Response, status: int) -> Json:
    """The error object, of the one shape that all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return error


IN_PART = "input[0].content[0]"
BAD_FIELDS: list[tuple[Json, str]] = [
    # the model
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"model": "a b"}, "model"),
    ({"model": "../x"}, "model"),
    ({"model": "x\u00e9"}, "model"),
    ({"model": ""}, "model"),
    # the input
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": {}}, "input"),
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": [5]}, "input[0]"),
    ({"input": ["Hi"]}, "input[0]"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"type": 5}]}, "input[0].type"),
    ({"input": [{"type": "smell"}]}, "input[0].type"),
    ({"input": [{"role": "pope", "content": "Hi"}]}, "input[0].role"),
    ({"input": [{"type": "message", "content": "Hi"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": "Hi"}, {"role": "user"}]}, "input[1].content"),
    (message(5), "input[0].content"),
    (message(None), "input[0].content"),
    (message(""), "input"),
    (message([]), "input"),
    (message([5]), IN_PART),
    (message([{"type": "smell"}]), f"{IN_PART}.type"),
    (message([{"type": "input_text"}]), f"{IN_PART}.text"),
    (message([{"type": "input_text", "text": 5}]), f"{IN_PART}.text"),
    ({"input": [{"role": "developer", "content": [{"type": "input_image"}]}]}, f"{IN_PART}.type"),
    # calls and results
    ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "", "arguments": "{}"}]}, "input[0].name"),
    ({"input": [{"type": "function_call", "name": "look", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "look", "input": 5}]}, "input[0].input"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": 5, "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
        "input[0].output[0].image_url",
    ),
    # files
    (image("data:image/png;base64,!!!"), f"{IN_PART}.image_url"),
    (image("data:image/png;base64,"), f"{IN_PART}.image_url"),
    (image("data:image/gif;base64,R0lGODlhAQABAAAAACw="), f"{IN_PART}.image_url"),
    (image("http://127.0.0.1/x.png"), f"{IN_PART}.image_url"),
    (image("file:///etc/passwd"), f"{IN_PART}.image_url"),
    (image(5), f"{IN_PART}.image_url"),
    (message([{"type": "input_image", "file_id": "file-1"}]), f"{IN_PART}.file_id"),
    (file(), f"{IN_PART}.file_data"),
    (file(filename="a.pdf", file_data="!!!"), f"{IN_PART}.file_data"),
    (file(file_url="http://localhost/a.pdf"), f"{IN_PART}.file_url"),
    (file(file_id="file-1"), f"{IN_PART}.file_id"),
    # settings
    ({"instructions": 5}, "instructions"),
    ({"temperature": 9}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": -1}, "max_output_tokens"),
    ({"max_output_tokens": 10**12}, "max_output_tokens"),
    ({"max_output_tokens": "many"}, "max_output_tokens"),
    ({"store": "yes"}, "store"),
    ({"stream_options": 5}, "stream_options"),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ({"include": "all"}, "include"),
    ({"include": [5]}, "include[0]"),
    ({"metadata": 5}, "metadata"),
    ({"metadata": {"a": 5}}, "metadata.a"),
    ({"prompt_cache_key": 5}, "prompt_cache_key"),
    ({"previous_response_id": 5}, "previous_response_id"),
    ({"reasoning": 5}, "reasoning"),
    ({"reasoning": {"effort": "very much"}}, "reasoning.effort"),
    ({"reasoning": {"effort": 5}}, "reasoning.effort"),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
    ({"text": 5}, "text"),
    ({"text": {"format": 5}}, "text.format"),
    ({"text": {"format": {"type": "smell"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    # tools
    ({"tools": {}}, "tools"),
    ({"tools": [5]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "function", "name": ""}]}, "tools[0].name"),
    ({"tools": [{"type": "custom"}]}, "tools[0].name"),
    ({"tools": [{"type": "namespace", "tools": [LOOK]}]}, "tools[0].name"),
    ({"tools": [{"type": "namespace", "name": "a", "tools": 5}]}, "tools[0].tools"),
    ({"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"tool_choice": 5}, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "other"}, "tools": [LOOK]}, "tool_choice"),
    ({"tool_choice": {"type": "web_search"}, "tools": [LOOK]}, "tool_choice"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]}},
        "tool_choice",
    ),
    # what cannot be done
    ({"background": True}, "background"),
    ({"background": "yes"}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("changes", "param"), BAD_FIELDS, ids=lambda value: json.dumps(value)[:60])
def test_bad_fields(agproxy: Agproxy, google: FakeGoogle, changes: Json, param: str, streamed: bool) -> None:
    body = {**GOOD, "stream": streamed, **changes}
    error = error_of(post(agproxy, json.dumps(body).encode()), 400)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert google.requests == []


@pytest.mark.parametrize("stream", ["yes", 1, []])
def test_stream_is_a_boolean(agproxy: Agproxy, google: FakeGoogle, stream: Json) -> None:
    assert error_of(post(agproxy, json.dumps({**GOOD, "stream": stream}).encode()), 400)["param"] == "stream"
    assert google.requests == []


@pytest.mark.parametrize("field", ["model", "input"])
def test_missing_fields(agproxy: Agproxy, google: FakeGoogle, field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    error = error_of(post(agproxy, json.dumps(body).encode()), 400)
    assert (error["param"], error["code"]) == (field, "missing_required_parameter")
    assert google.requests == []


@pytest.mark.parametrize("path", ["", "/input_tokens", "/compact"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"not json",
        b"[]",
        b'"text"',
        b"null",
        b'{"model":"gpt-5.5","input":"Hi","temperature":NaN}',
        b'{"model":"gpt-5.5","input":"Hi","temperature":1e999}',
        b'{"model":"gpt-5.5","input":"Hi","max_output_tokens":' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"model":"gpt-5.5","input":"\\ud800"}',
        b'{"model":"gpt-5.5","input":"\xff\xfe"}',
        json.dumps(GOOD).encode("utf-16"),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bad_json(agproxy: Agproxy, google: FakeGoogle, data: bytes, path: str) -> None:
    assert error_of(post(agproxy, data, path), 400)["code"] == "invalid_json"
    assert google.requests == []
    assert post(agproxy, json.dumps(GOOD).encode()).status_code == 200


def nestings(depth: int) -> Iterator[str]:
    """Bodies that are nested wherever that is allowed."""
    nested = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    quoted = json.dumps(nested)
    call = f'{{"type":"function_call","call_id":"c","name":"f","arguments":{quoted}}}'
    item = f'{{"type":"function_call_output","call_id":"c","output":{nested}}}'
    yield f'{{"model":"gpt-5.5","input":[{call},{item}]}}'
    yield f'{{"model":"gpt-5.5","input":"Hi","tools":[{{"type":"function","name":"f","parameters":{nested}}}]}}'
    inner = f'{{"type":"namespace","name":"n","tools":[{{"type":"function","name":"f","parameters":{nested}}}]}}'
    lite = f'{{"type":"additional_tools","tools":[{inner}]}}'
    yield f'{{"model":"gpt-5.5","input":[{lite},{{"role":"user","content":"Hi"}}]}}'
    schema = f'{{"type":"json_schema","name":"a","schema":{nested}}}'
    yield f'{{"model":"gpt-5.5","input":"Hi","text":{{"format":{schema}}}}}'
    yield f'{{"model":"gpt-5.5","input":"Hi","client_metadata":{nested}}}'
    yield f'{{"model":"gpt-5.5","input":[{{"type":"shell_call","call_id":"c","action":{nested}}}]}}'


@pytest.mark.parametrize("depth", [90, 200, 478, 479, 480, 481, 900, 3000])
def test_deep_nesting_where_it_is_allowed_is_never_a_500(agproxy: Agproxy, google: FakeGoogle, depth: int) -> None:
    for body in nestings(depth):
        for path in ("", "/input_tokens", "/compact"):
            assert post(agproxy, body.encode(), path).status_code in (200, 400), body[:80]
    google.reset()  # how deep Gemini itself goes is not the point here


@pytest.mark.parametrize("path", ["", "/input_tokens", "/compact"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_other_content_types_are_refused(agproxy: Agproxy, content_type: str, path: str) -> None:
    response = post(agproxy, json.dumps(GOOD).encode(), path, **{"Content-Type": content_type})
    assert error_of(response, 415)["code"] == "unsupported_media_type"


def test_bodies_may_be_compressed(agproxy: Agproxy, google: FakeGoogle) -> None:
    coded = {"Content-Encoding": "gzip"}
    assert post(agproxy, gzip.compress(json.dumps(GOOD).encode()), **coded).status_code == 200
    error_of(post(agproxy, b"no gzip", **coded), 400)
    error_of(post(agproxy, b"x", **{"Content-Encoding": "zstd"}), 415)
    assert len(google.requests) == 1


def test_too_much_is_refused(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nmax_body_bytes = 10 kB\n")
    assert error_of(post(agproxy, b" " * 20_000), 413)["code"] == "request_too_large"
    head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    announced = exchange(agproxy, head + b"Content-Length: 1000000\r\n\r\n", end=False)
    assert announced.startswith(b"HTTP/1.1 413")
    assert post(agproxy, json.dumps(GOOD).encode()).status_code == 200


@pytest.mark.parametrize("path", ["", "/input_tokens", "/compact"])
def test_too_much_that_is_only_named_is_refused(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    made = post(agproxy, json.dumps({**GOOD, "input": "x" * 1_000_000}).encode()).json()["id"]
    (item,) = agproxy.get(f"/v1/responses/{made}/input_items").json()["data"]
    reference = {"type": "item_reference", "id": item["id"]}
    body = {**GOOD, "input": [reference] * (MAX_BYTES // 1_000_000 + 1)}
    error = error_of(post(agproxy, json.dumps(body).encode(), path), 413)
    assert error["code"] == "request_too_large"
    assert len(google.requests) == 1


# Ids, and methods.


@pytest.mark.parametrize("id_", ["resp_unknown", "resp_", "x", "%00", "%F0%9F%8C%8D", "resp_%2F..%2F", "r" * 3000])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")]
)
def test_unknown_ids(agproxy: Agproxy, id_: str, method: str, path: str) -> None:
    response = requests.request(method, f"{agproxy.url}/v1/responses/{id_}{path}", timeout=30)
    error = error_of(response, 404)
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 1000


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", ["", "/input_tokens", "/compact"])
def test_unknown_previous_response(agproxy: Agproxy, google: FakeGoogle, path: str, streamed: bool) -> None:
    body = {**GOOD, "previous_response_id": "resp_unknown", "stream": streamed}
    error = error_of(post(agproxy, json.dumps(body).encode(), path), 404)
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert "resp_unknown" in error["message"]
    assert google.requests == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 3000, "limit"),
        ("order=up", "order"),
        ("after=msg_unknown", "after"),
        ("after=%FF", "after"),
    ],
    ids=lambda value: value[:20],
)
def test_bad_pages(agproxy: Agproxy, query: str, param: str) -> None:
    made = post(agproxy, json.dumps(GOOD).encode()).json()["id"]
    error = error_of(agproxy.get(f"/v1/responses/{made}/input_items?{query}"), 400)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/responses", "POST"),
        ("PUT", "/v1/responses", "POST"),
        ("DELETE", "/v1/responses", "POST"),
        ("PATCH", "/v1/responses/resp_1", "DELETE, GET"),
        ("GET", "/v1/responses/resp_1/cancel", "POST"),
        ("POST", "/v1/responses/resp_1/input_items", "GET"),
        ("DELETE", "/v1/responses/resp_1/input_items", "GET"),
    ],
)
def test_wrong_methods(agproxy: Agproxy, method: str, path: str, allowed: str) -> None:
    response = requests.request(method, agproxy.url + path, timeout=30)
    error = error_of(response, 405)
    assert error["code"] == "method_not_allowed"
    found = set(response.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"}
    assert found == set(allowed.split(", "))


@pytest.mark.parametrize("path", ["/v1/responses/", "/v1//responses", "/v1/responses/resp_1/", "/v1/responses/a/b/c"])
def test_paths_are_exact(agproxy: Agproxy, path: str) -> None:
    assert error_of(agproxy.get(path), 404)["code"] == "not_found"


def test_all_routes_want_the_key(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nauth_mode = strict\napi_key = sk-3f9aq7w2\n")
    ours = {"Authorization": "Bearer sk-3f9aq7w2"}
    made = post(agproxy, json.dumps(GOOD).encode(), **ours).json()["id"]
    paths = ["", "/input_tokens", "/compact", f"/{made}/cancel"]
    asked = [("POST", path) for path in paths] + [("GET", f"/{made}"), ("GET", f"/{made}/input_items")]
    for method, path in [*asked, ("DELETE", f"/{made}")]:
        for headers in ({}, {"Authorization": "Bearer sk-another-key"}):
            response = requests.request(method, f"{agproxy.url}/v1/responses{path}", headers=headers, timeout=30)
            assert error_of(response, 401)["code"] == "invalid_api_key"
    assert agproxy.get(f"/v1/responses/{made}", headers=ours).status_code == 200
    assert len(google.requests) == 1

"""Google's own SDK for Python, google-genai, against agproxy."""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
import pytest
from google import genai
from google.genai import errors, types

from tests.e2e.conftest import Agproxy, Serve, accounts_ini, start_gunicorn
from tests.e2e.test_chat import png
from tests.fake_google import (
    DUMMIES,
    FakeGoogle,
    Usage,
    blocked,
    calls,
    cut,
    error,
    internal,
    model_retired,
    quota_per_day,
    slow,
    text,
    thoughts,
    unavailable,
)

ClientOf = Callable[..., genai.Client]
GEMINI = "gemini-3-flash-preview"
OLDER = "gemini-2.5-flash"
VERSIONS = [None, "v1", "v1beta"]  # None is the SDK's own default


class Weather(pydantic.BaseModel):
    city: str
    degrees: int
    sky: str | None = None


OSLO = Weather(city="Oslo", degrees=-5)


@pytest.fixture(autouse=True)
def _native(google: FakeGoogle) -> None:
    """Google takes what its own SDK sends."""
    google.native = True


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Makes real clients of an agproxy."""
    with contextlib.ExitStack() as stack:

        def make(agproxy: Agproxy, *, api_key: str = "unused", **options: Any) -> genai.Client:
            http = types.HttpOptions(base_url=agproxy.url, timeout=30_000, **options)
            client = genai.Client(api_key=api_key, http_options=http)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(agproxy: Agproxy, client_of: ClientOf) -> genai.Client:
    """A client of the agproxy that the module shares."""
    return client_of(agproxy)


def signatures(google: FakeGoogle) -> list[str]:
    """The signatures in the last request that the fake got, each of which it has issued."""
    contents = google.requests[-1].contents
    found = [part["thought_signature"] for each in contents for part in each["parts"] if "thought_signature" in part]
    assert all(google.ledger.find(signature) for signature in found)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_answer_with_everything_that_a_client_reads(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, version: str | None
) -> None:
    usage = Usage(prompt=100, candidates=20, thoughts=30, cached=40, tool_use=5)
    google.enqueue(thoughts("I greet.") + text("Hello, ", "wörld €", usage=usage))
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.5,
        max_output_tokens=500,
        stop_sequences=["END"],
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
    )
    client = client_of(agproxy, api_version=version)
    answer = client.models.generate_content(model=GEMINI, contents="Say hello.", config=config)
    assert answer.text == "Hello, wörld €"
    assert answer.candidates[0].content.parts[0].thought
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    counts = answer.usage_metadata
    assert (counts.prompt_token_count, counts.candidates_token_count, counts.total_token_count) == (100, 20, 155)
    assert (counts.cached_content_token_count, counts.thoughts_token_count) == (40, 30)
    assert answer.model_version == GEMINI
    assert answer.response_id == google.requests[0].sent["responseId"]
    assert answer.sdk_http_response.headers["x-mapped-model"] == GEMINI
    (request,) = google.requests
    assert request.path == f"/v1beta/models/{GEMINI}:generateContent"
    assert request.canonical["system_instruction"]["parts"] == [{"text": "Be brief."}]
    assert request.canonical["generation_config"] == {
        "temperature": 0.5,
        "max_output_tokens": 500,
        "stop_sequences": ["END"],
        "thinking_config": {"include_thoughts": True, "thinking_level": "LOW"},
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_stream(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, version: str | None) -> None:
    google.enqueue(thoughts("I count.") + text("One, ", "two, ", "thrée", usage=Usage(prompt=7, candidates=3)))
    client = client_of(agproxy, api_version=version)
    chunks = list(client.models.generate_content_stream(model=OLDER, contents="Count."))
    assert [chunk.text for chunk in chunks] == [None, "One, ", "two, ", "thrée"]
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count == 10
    assert google.requests[0].sse


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """An agproxy with rules for two names."""
    with contextlib.ExitStack() as stack:
        ini = f"[models]\nmy-model = {OLDER}\nother/* = {GEMINI}\n" + accounts_ini(_google, "a")
        yield start_gunicorn(stack, tmp_path_factory.mktemp("mapping"), ini)


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ("gpt-4o", "gemini-flash-latest"),
        ("models/gpt-4o", "gemini-flash-latest"),
        ("google/gpt-4o", "gemini-flash-latest"),
        (OLDER, OLDER),
        (f"models/{OLDER}", OLDER),
        (f"google/{OLDER}", OLDER),
        ("my-model", OLDER),
        ("other/model", GEMINI),
    ],
)
def test_models_are_mapped(mapping: Agproxy, client_of: ClientOf, google: FakeGoogle, asked: str, called: str) -> None:
    client = client_of(mapping)
    answer = client.models.generate_content(model=asked, contents="Hi")
    assert answer.sdk_http_response.headers["x-mapped-model"] == called
    assert len(list(client.models.generate_content_stream(model=asked, contents="Hi"))) == 1
    assert client.models.count_tokens(model=asked, contents="Hi").total_tokens > 0
    assert [request.model for request in google.requests] == [called] * 3


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_chat_keeps_thought_signatures(client: genai.Client, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(thoughts("Hm.") + text("First", sign=True), text("Second", sign=True), text("Third"))
    chat = client.chats.create(model=GEMINI)
    answers = []
    for words in ("One", "Two", "Three"):
        if streamed:
            answers.append("".join(chunk.text or "" for chunk in chat.send_message_stream(words)))
        else:
            answers.append(chat.send_message(words).text)
    assert answers == ["First", "Second", "Third"]
    told = [(each["role"], each["parts"][-1].get("text")) for each in google.requests[-1].contents if each["parts"]]
    assert [role for role, _ in told if role == "user"] == ["user"] * 3
    assert len(signatures(google)) == 2


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_functions_are_called_by_the_sdk_itself(client: genai.Client, google: FakeGoogle, streamed: bool) -> None:
    asked = []

    def get_weather(city: str, unit: str = "C") -> str:
        """The weather in a city."""
        asked.append(city)
        return f"5 {unit} in {city}"

    both = calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"}))
    google.enqueue(both, calls(("get_weather", {"city": "Bern"})), text("It is cold."), text("Bye"))
    chat = client.chats.create(model=GEMINI, config=types.GenerateContentConfig(tools=[get_weather]))
    if streamed:
        answer = "".join(chunk.text or "" for chunk in chat.send_message_stream("How cold is it?"))
    else:
        answer = chat.send_message("How cold is it?").text
    assert answer == "It is cold."
    assert asked == ["Oslo", "Rome", "Bern"]
    assert [len(request.results) for request in google.requests] == [0, 2, 1]
    assert google.requests[-1].results[0]["response"] == {"result": "5 C in Bern"}
    assert chat.send_message("Thanks").text == "Bye"
    assert len(signatures(google)) == 2


def test_functions_are_called_by_hand(client: genai.Client, google: FakeGoogle) -> None:
    declared = types.FunctionDeclaration(
        name="get_weather",
        description="The weather in a city.",
        parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    )
    google.enqueue(calls(("get_weather", {"city": "Zürich"})), text("It is cold."))
    contents = [types.Content(role="user", parts=[types.Part.from_text(text="How cold is it?")])]
    first = client.models.generate_content(model=GEMINI, contents=contents, config=config)
    (call,) = first.function_calls
    assert (call.name, call.args) == ("get_weather", {"city": "Zürich"})
    result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "5 degrees"})
    contents += [first.candidates[0].content, types.Content(role="user", parts=[types.Part(function_response=result)])]
    last = client.models.generate_content(model=GEMINI, contents=contents)
    assert last.text == "It is cold."
    assert google.requests[-1].results[0]["id"] == call.id
    assert len(signatures(google)) == 1


def test_a_foreign_signature_is_replaced(client: genai.Client, google: FakeGoogle) -> None:
    call = types.FunctionCall(id="call_1", name="f", args={})
    contents = [
        types.Content(role="user", parts=[types.Part(text="Hi")]),
        types.Content(role="model", parts=[types.Part(function_call=call, thought_signature=b"of another service")]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="f", response={"output": 1})]),
    ]
    contents[-1].parts[0].function_response.id = "call_1"
    google.enqueue(text("Saved"))
    assert client.models.generate_content(model=GEMINI, contents=contents).text == "Saved"
    refused, repaired = google.requests
    assert refused.refusal is not None
    refused.refusal = None  # as it must be, of a signature that Google has not made
    assert repaired.contents[1]["parts"][0]["thought_signature"] in DUMMIES


def test_files_go_inline(client: genai.Client, google: FakeGoogle) -> None:
    picture = base64.b64decode(png().partition(",")[2])
    document = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    contents = [
        types.Part.from_bytes(data=picture, mime_type="image/png"),
        types.Part.from_bytes(data=document, mime_type="application/pdf"),
        "What is this?",
    ]
    assert client.models.generate_content(model=GEMINI, contents=contents).text
    parts = [part for content in google.requests[0].contents for part in content["parts"]]
    files = [each["inline_data"] for each in parts[:2]]
    sent = [(each["mime_type"], base64.urlsafe_b64decode(each["data"])) for each in files]  # that alphabet it uses
    assert sent == [("image/png", picture), ("application/pdf", document)]


@pytest.mark.parametrize(
    "schema",
    [{"response_schema": Weather}, {"response_json_schema": Weather.model_json_schema()}],
    ids=["response_schema", "response_json_schema"],
)
def test_structured_output(client: genai.Client, google: FakeGoogle, schema: dict[str, Any]) -> None:
    google.enqueue(text('{"city": "Oslo", ', '"degrees": -5}'))
    config = types.GenerateContentConfig(response_mime_type="application/json", **schema)
    answer = client.models.generate_content(model=GEMINI, contents="The weather?", config=config)
    assert Weather.model_validate(answer.parsed) == OSLO
    (name,) = schema
    assert set(google.requests[0].canonical["generation_config"][name]["properties"]) == {"city", "degrees", "sky"}


@pytest.mark.parametrize(
    ("model", "thinking"),
    [(OLDER, {"thinking_budget": 1024}), (OLDER, {"thinking_budget": 0}), (GEMINI, {"thinking_level": "HIGH"})],
)
def test_thinking(client: genai.Client, google: FakeGoogle, model: str, thinking: dict[str, Any]) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(**thinking))
    assert client.models.generate_content(model=model, contents="Think.", config=config).text
    assert google.requests[0].canonical["generation_config"]["thinking_config"] == thinking


def test_tokens_are_counted_by_google(client: genai.Client, google: FakeGoogle) -> None:
    counted = client.models.count_tokens(model=GEMINI, contents=["One", "two"])
    assert google.requests[0].method == "countTokens"
    assert counted.total_tokens == 2


def test_embeddings(client: genai.Client, google: FakeGoogle) -> None:
    one = client.models.embed_content(model="gemini-embedding-001", contents="One")
    assert len(one.embeddings) == 1
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=768)
    many = client.models.embed_content(model="gemini-embedding-001", contents=["One", "two", "three"], config=config)
    assert [len(embedding.values) for embedding in many.embeddings] == [768] * 3
    assert len({tuple(embedding.values) for embedding in many.embeddings}) == 3
    assert {request.model for request in google.requests} == {"gemini-embedding-001"}


@pytest.mark.parametrize("version", VERSIONS)
def test_models_are_listed(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, version: str | None) -> None:
    client = client_of(agproxy, api_version=version)
    names = [model.name for model in client.models.list()]
    assert {f"models/{name}" for name in google.models} <= set(names)
    assert "models/gpt-4o" in names
    assert len(names) == len(set(names))
    for asked in (OLDER, f"models/{OLDER}"):
        model = client.models.get(model=asked)
        assert (model.name, model.input_token_limit) == (f"models/{OLDER}", 1048576)
        assert "generateContent" in model.supported_actions
    assert client.models.get(model="gpt-4o").name == "models/gpt-4o"
    with pytest.raises(errors.ClientError, match="no-such-model") as caught:
        client.models.get(model="no-such-model")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_async_client(client: genai.Client, google: FakeGoogle) -> None:
    google.enqueue(text("Hello"), text("One, ", "two"))

    async def ask() -> tuple[str | None, list[str | None]]:
        async with client.aio as models_of:
            whole = await models_of.models.generate_content(model=GEMINI, contents="Hi")
            stream = await models_of.models.generate_content_stream(model=GEMINI, contents="Count.")
            return whole.text, [chunk.text async for chunk in stream]

    assert asyncio.run(ask()) == ("Hello", ["One, ", "two"])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "failure",
    [
        error(400, "INVALID_ARGUMENT", "Bad field", [{"@type": "type.googleapis.com/google.rpc.BadRequest"}]),
        model_retired(OLDER),
        quota_per_day(),
        internal(),
        unavailable(),
    ],
    ids=lambda failure: f"{failure.http_status}",
)
def test_errors_are_googles_own(
    serve: Serve, client_of: ClientOf, google: FakeGoogle, failure: Any, streamed: bool
) -> None:
    google.default = failure
    models = client_of(serve("a", ini="[upstream]\nmax_attempts = 1\n")).models
    ask = models.generate_content_stream if streamed else models.generate_content
    with pytest.raises(errors.ServerError if failure.http_status >= 500 else errors.ClientError) as caught:
        list(ask(model=OLDER, contents="Hi"))
    told = failure.body["error"]
    assert (caught.value.code, caught.value.status) == (failure.http_status, told["status"])
    assert str(caught.value.message).startswith(told["message"])
    assert caught.value.details["error"].get("details", []) == told.get("details", [])


def test_errors_of_agproxy_have_googles_shape(serve: Serve, client_of: ClientOf, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nauth_mode = strict\napi_key = agp-a-key-for-tests\n")
    stranger, client = client_of(agproxy, api_key="wrong"), client_of(agproxy, api_key="agp-a-key-for-tests")
    with pytest.raises(errors.ClientError, match="key") as caught:
        stranger.models.generate_content(model=GEMINI, contents="Hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError, match="no-such-model") as caught:
        client.models.generate_content(model="no-such-model", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    for unserved in (client.files.list, client.caches.list, client.batches.list):
        with pytest.raises(errors.ClientError, match="agproxy") as caught:
            unserved()
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    assert client.models.generate_content(model=GEMINI, contents="Hi").text
    assert [request.model for request in google.requests if request.method == "generateContent"] == [GEMINI]


def test_a_break_in_the_stream_is_a_server_error(client: genai.Client, google: FakeGoogle) -> None:
    google.enqueue(cut(text("One, ", "two"), after_events=1))
    stream = client.models.generate_content_stream(model=OLDER, contents="Count.")
    assert next(stream).text == "One, "
    with pytest.raises(errors.ServerError, match="broke in the middle of its answer") as caught:
        next(stream)
    assert caught.value.status == "UNAVAILABLE"


@pytest.mark.parametrize("pause", ["headers_s", "first_byte_s", "between_s"])
def test_keep_alives_do_not_disturb(serve: Serve, client_of: ClientOf, google: FakeGoogle, pause: str) -> None:
    client = client_of(serve("a", ini="[upstream]\nping_s = 0.2\n"))
    google.enqueue(slow(text("One, ", "two"), **{pause: 1.0}))
    stream = client.models.generate_content_stream(model=OLDER, contents="Count.")
    assert [chunk.text for chunk in stream] == ["One, ", "two"]


def test_a_blocked_prompt_says_why(client: genai.Client, google: FakeGoogle) -> None:
    google.enqueue(blocked("PROHIBITED_CONTENT"), blocked("SAFETY"))
    answer = client.models.generate_content(model=OLDER, contents="Hi")
    assert answer.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    (chunk,) = client.models.generate_content_stream(model=OLDER, contents="Hi")
    assert chunk.prompt_feedback.block_reason is types.BlockedReason.SAFETY
    assert len(google.requests) == 2


def test_address_by_the_environment(agproxy: Agproxy, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", agproxy.url)
    monkeypatch.setenv("GEMINI_API_KEY", "unused")
    with genai.Client() as client:
        assert client.models.generate_content(model="gpt-4o", contents="Hi").text
    assert [request.key for request in google.requests if request.method == "generateContent"] == ["test-key-a"]


def test_a_base_url_with_a_version_is_explained(agproxy: Agproxy) -> None:
    options = types.HttpOptions(base_url=f"{agproxy.url}/v1beta")
    with genai.Client(api_key="unused", http_options=options) as client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=OLDER, contents="Hi")
    assert caught.value.code == 404
    assert f"The Base URL for the Google Gen AI SDK is {agproxy.url} (" in str(caught.value.message)

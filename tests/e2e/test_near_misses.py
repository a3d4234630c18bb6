"""Real clients with a wrong Base URL: what they are told, and what ``fix_paths`` makes of it."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import openai
import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve, accounts_ini, start_gunicorn
from tests.fake_google import FakeGoogle

WRONG_BASES = [
    ("/v1/v1", "/v1 is in it twice"),
    ("/v1/chat/completions", "the Base URL ends in /chat/completions, and the client adds its own path to that"),
    ("", "its /v1 is missing"),
    ("/", "its /v1 is missing"),
    ("/v1//", "it has two slashes in a row"),
    ("/openai/v1", "/openai does not belong in it"),
    ("/api/v1", "/api does not belong in it"),
    ("/V1", "it is written with capital letters"),
    ("/v1%20", "it has a blank or a quotation mark in it"),
    ("/v1beta/openai/v1", "/v1beta and /v1 are in it together"),
]
BASES = [base for base, _ in WRONG_BASES]


@pytest.fixture(scope="module")
def fixing(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """An agproxy that serves wrong paths."""
    with contextlib.ExitStack() as stack:
        ini = "[server]\nfix_paths = on\n" + accounts_ini(_google, "a")
        yield start_gunicorn(stack, tmp_path_factory.mktemp("fixing"), ini)


@pytest.fixture
def client_at() -> Iterator[Callable[[str], openai.OpenAI]]:
    """Makes openai clients with any Base URL."""
    with contextlib.ExitStack() as stack:
        yield lambda url: stack.enter_context(openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=30))


def ask(client: openai.OpenAI) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(("base", "wrong"), WRONG_BASES)
def test_openai_client_with_a_wrong_base_url_reads_what_to_change(
    agproxy: Agproxy, client_at: Callable[[str], openai.OpenAI], base: str, wrong: str
) -> None:
    client = client_at(agproxy.url + base)
    for call, right in ((lambda: ask(client), "POST {}/chat/completions"), (client.models.list, "GET {}/models")):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        message = str(caught.value)
        right_base = agproxy.url + ("/v1beta/openai" if "openai/v1" in base and "beta" in base else "/v1")
        assert wrong in message
        assert f"The Base URL for the OpenAI Python SDK is {right_base} (base_url= or OPENAI_BASE_URL)" in message
        assert f"the request then goes to {right.format(right_base)}." in message


@pytest.mark.parametrize("base", BASES)
def test_openai_client_with_a_wrong_base_url_is_served_with_fix_paths(
    fixing: Agproxy, google: FakeGoogle, client_at: Callable[[str], openai.OpenAI], base: str
) -> None:
    client = client_at(fixing.url + base)
    assert ask(client).choices[0].message.content
    stream = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True)
    assert any(chunk.choices[0].delta.content for chunk in stream if chunk.choices)
    assert "gpt-4o" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


def test_fixed_path_is_logged_and_told(serve: Serve) -> None:
    fixing = serve("a", ini="[server]\nfix_paths = on\n")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    response = requests.post(f"{fixing.url}/v1/v1/chat/completions", json=body, timeout=30)
    assert (response.status_code, response.headers["X-Agproxy-Fixed-Path"]) == (200, "/v1/chat/completions")
    fixing.stop()  # only then is the access line sure to be there
    fixed, access = (line for line in fixing.log().splitlines() if response.headers["X-Request-Id"] in line)
    assert "path fixed" in fixed
    assert "path=/v1/v1/chat/completions to=/v1/chat/completions client=127.0.0.1" in fixed
    assert "path=/v1/v1/chat/completions client=127.0.0.1" in access


@pytest.mark.parametrize("slash", ["", "/"])
def test_openai_client_of_google_changes_the_host_only(
    agproxy: Agproxy, google: FakeGoogle, client_at: Callable[[str], openai.OpenAI], slash: str
) -> None:
    client = client_at(f"{agproxy.url}/v1beta/openai{slash}")
    assert ask(client).choices[0].message.content
    assert client.models.retrieve("gemini-flash-latest").id == "gemini-flash-latest"
    assert "gpt-4o" in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError, match="model"):
        client.models.retrieve("no-such-model")


def test_key_is_asked_for_on_a_fixed_path(serve: Serve, client_at: Callable[[str], openai.OpenAI]) -> None:
    fixing = serve("a", ini="[server]\nfix_paths = on\nauth_mode = strict\napi_key = agp-Xq7-a-real-key\n")
    client = client_at(fixing.url)
    with pytest.raises(openai.AuthenticationError):
        ask(client)
    assert ask(client.with_options(api_key="agp-Xq7-a-real-key")).choices[0].message.content
    with pytest.raises(openai.NotFoundError):
        client_at(fixing.url + "/v1").embeddings.create(model="gpt-4o", input="Hi")


def test_slashes_and_blanks_in_the_request_line_are_explained(agproxy: Agproxy) -> None:
    for path in ("//v1/models", "/v1/models%20", "/v1//models", "/v1/models%0A/"):
        with socket.create_connection(("127.0.0.1", agproxy.port), timeout=10) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{agproxy.port}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        assert " 404 " in head.splitlines()[0]
        assert "Location:" not in head
        assert f"the request then goes to GET {agproxy.url}/v1/models" in body


def test_browser_gets_a_page_and_a_program_json(agproxy: Agproxy) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert "agproxy runs here" in agproxy.get("/", headers=browser).text
    response = agproxy.get("/v1/chat/completions", headers=browser)
    assert (response.status_code, response.headers["Content-Type"]) == (405, "text/html; charset=utf-8")
    assert agproxy.url + "/v1" in response.text
    assert agproxy.get("/").headers["Content-Type"] == "application/json"

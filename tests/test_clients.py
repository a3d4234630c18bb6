"""Which program calls, by its headers, and its Base URL."""

import pytest
from werkzeug.datastructures import EnvironHeaders

from agproxy.clients import DIALECTS, base_url, identify

ROOT = "http://127.0.0.1:8045/"


def name_of(user_agent: str, **headers: str) -> str | None:
    client = identify(EnvironHeaders({"HTTP_USER_AGENT": user_agent, **headers}))
    return client.name if client else None


# User-Agents as these programs send them, with the Base URL that each needs for what it mostly speaks.
@pytest.mark.parametrize(
    ("user_agent", "name", "dialect", "base"),
    [
        ("OpenAI/Python 3.54.0", "the OpenAI Python SDK", "openai_chat", "/v1"),
        ("AsyncOpenAI/Python 3.54.0", "the OpenAI Python SDK", "openai_chat", "/v1"),
        ("AsyncAzureOpenAI/Python 3.54.0", "the OpenAI SDK", "openai_chat", "/v1"),
        ("OpenAI/JS 6.26.0", "the OpenAI JavaScript SDK", "openai_chat", "/v1"),
        ("Anthropic/Python 0.90.0", "the Anthropic Python SDK", "anthropic_messages", ""),
        ("AsyncAnthropic/Python 0.90.0", "the Anthropic Python SDK", "anthropic_messages", ""),
        ("Anthropic/JS 0.80.0", "the Anthropic JavaScript SDK", "anthropic_messages", ""),
        ("claude-cli/2.1.220 (external, cli)", "Claude Code", "anthropic_messages", ""),
        ("google-genai-sdk/3.2.0 gl-python/3.13.1", "the Google Gen AI SDK", "gemini", ""),
        ("google-genai-sdk/1.41.0 gl-node/v22.19.0", "the Google Gen AI JavaScript SDK", "gemini", ""),
        (
            "GeminiCLI/0.61.0/gemini-pro-latest (linux; x64; terminal) google-genai-sdk/1.30.0 gl-node/v22.19.0",
            "the Gemini CLI",
            "gemini",
            "",
        ),
        ("codex_cli_rs/0.169.0 (Ubuntu 24.4.0; x86_64) xterm-256color", "Codex", "openai_responses", "/v1"),
        ("codex_exec/0.169.0 (Debian 13; x86_64) unknown", "Codex", "openai_responses", "/v1"),
        ("opencode/1.18.0 ai-sdk/openai-compatible/3.0.41", "OpenCode", "openai_chat", "/v1"),
        ("opencode/1.18.0 ai-sdk/anthropic/3.0.4", "OpenCode", "anthropic_messages", "/v1"),
        ("ai-sdk/openai-compatible/1.0.19 ai-sdk/provider-utils/3.0.20", "the AI SDK", "openai_chat", "/v1"),
        ("ai-sdk/anthropic/2.0.17 ai-sdk/provider-utils/3.0.9", "the AI SDK", "anthropic_messages", "/v1"),
        ("ai-sdk/google/2.0.17 ai-sdk/provider-utils/3.0.9", "the AI SDK", "gemini", "/v1beta"),
        ("litellm/1.80.0", "LiteLLM", "openai_chat", "/v1"),
        ("litellm/1.80.0", "LiteLLM", "anthropic_messages", ""),
        ("llm/0.30", "llm", "openai_chat", "/v1"),
        ("Cline/3.74.0", "Cline", "openai_chat", "/v1"),
        ("RooCode/3.30.0", "Roo Code", "openai_chat", "/v1"),
        ("Kilo-Code/4.120.0", "Kilo Code", "openai_chat", "/v1"),
        ("langchain-anthropic/1.0.0", "LangChain", "anthropic_messages", ""),
        ("pydantic-ai/1.9.0", "Pydantic AI", "openai_chat", "/v1"),
    ],
)
def test_client_is_known_by_its_user_agent(user_agent: str, name: str, dialect: str, base: str) -> None:
    client = identify(EnvironHeaders({"HTTP_USER_AGENT": user_agent}))
    assert client is not None
    assert (client.name, client.dialect or dialect) == (name, dialect)
    assert client.setting
    assert base_url(ROOT, dialect, client) == f"http://127.0.0.1:8045{base}"


@pytest.mark.parametrize(
    "user_agent",
    [
        "",
        "curl/8.9.1",
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "python-requests/2.32",
        "inclined/1",
        "x" * 9999,
    ],
)
def test_other_programs_are_not_known(user_agent: str) -> None:
    assert name_of(user_agent) is None


def test_program_is_told_from_the_sdk_that_it_is_made_with() -> None:
    assert name_of("OpenAI/JS 6.26.0", HTTP_X_TITLE="Cline") == "Cline"
    assert name_of("OpenAI/JS 6.26.0", HTTP_X_TITLE="Roo Code") == "Roo Code"
    assert name_of("OpenAI/Python 3.54.0", HTTP_X_TITLE="Aider") == "Aider"
    assert name_of("Python/3.11 aiohttp/3.13", HTTP_X_OPENWEBUI_USER_ID="1") == "Open WebUI"
    assert name_of("x", HTTP_ORIGINATOR="codex_cli_rs") == "Codex"


def test_base_url_at_a_prefix() -> None:
    bases = {dialect: base_url("https://box.lan/llm/", dialect) for dialect in DIALECTS}
    assert bases["openai_chat"] == bases["openai_responses"] == "https://box.lan/llm/v1"
    assert bases["anthropic_messages"] == bases["gemini"] == "https://box.lan/llm"

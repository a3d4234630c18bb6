"""Which program calls, and the Base URL that it needs.

A *dialect* is how the clients of one protocol make addresses from a Base URL; its name is the protocol's.
"""

import re
from dataclasses import dataclass

from agproxy.auth import Headers


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the clients of one protocol reach agproxy.

    :param people: whose Base URL it is, in words.
    :param base: what the Base URL has behind agproxy's own address.
    :param versioned_base: the same for a client whose Base URL holds the version, where others add it themselves.
    :param endpoint: the path that they cannot do without.
    """

    people: str
    base: str
    versioned_base: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Client:
    """One known program.

    :param setting: where its Base URL is set.
    :param dialect: the protocol it speaks, or empty when it speaks several.
    """

    name: str
    setting: str
    dialect: str = ""
    has_versioned_base: bool = False


# Wire, for what each SDK adds to its Base URL: openai and anthropic `_client.py`, google-genai `_api_client.py`.
DIALECTS = {
    "openai_chat": Dialect("OpenAI clients", "v1", "v1", "/v1/chat/completions"),
    "openai_completions": Dialect("OpenAI clients", "v1", "v1", "/v1/completions"),
    "openai_responses": Dialect("OpenAI clients", "v1", "v1", "/v1/responses"),
    "anthropic_messages": Dialect("Anthropic clients", "", "v1", "/v1/messages"),
    "gemini": Dialect("Gemini clients", "", "v1beta", "/v1beta/models/MODEL:generateContent"),
}

_COMPATIBLE = "Base URL of its provider 'OpenAI Compatible'"
_LANGCHAIN = "base_url="

# Programs before the SDKs that they are made with, SDKs before plain HTTP libraries: the first that is found counts.
# By User-Agent, X-Title and originator, in lower case. Sources: RooCode and Kilo-Code src/api/providers/constants.ts,
# Cline src/services/EnvUtils.ts, gemini-cli contentGenerator.ts, litellm http_handler.py, the SDKs themselves.
CLIENTS: tuple[tuple[str, Client], ...] = (
    (r"\bclaude-(cli|code)", Client("Claude Code", "ANTHROPIC_BASE_URL", "anthropic_messages")),
    (r"\bgeminicli\b", Client("the Gemini CLI", "GOOGLE_GEMINI_BASE_URL", "gemini")),
    (r"\bcodex", Client("Codex", "base_url of its model provider in config.toml", "openai_responses")),
    (r"\bopencode\b", Client("OpenCode", "options.baseURL of its provider", has_versioned_base=True)),
    (r"\bkilo-?code\b|\bkilo code\b", Client("Kilo Code", _COMPATIBLE)),
    (r"\broo-?code\b|\broo code\b", Client("Roo Code", _COMPATIBLE)),
    (r"\bcline\b", Client("Cline", _COMPATIBLE)),
    (r"\baider\b", Client("Aider", "--openai-api-base or OPENAI_API_BASE")),
    (r"\bopen[ -]?webui\b", Client("Open WebUI", "Settings, Connections, OpenAI API", "openai_chat")),
    (r"\bllm/", Client("llm", "api_base in extra-openai-models.yaml", "openai_chat")),
    (r"\blitellm\b", Client("LiteLLM", "api_base=, or OPENAI_API_BASE")),
    (r"\blangchain-google", Client("LangChain", _LANGCHAIN, "gemini")),
    (r"\blangchain-anthropic", Client("LangChain", _LANGCHAIN, "anthropic_messages")),
    (r"\blangchain", Client("LangChain", _LANGCHAIN)),
    (r"\bpydantic-ai\b", Client("Pydantic AI", "base_url= of its provider")),
    (r"\bai-sdk/anthropic\b", Client("the AI SDK", "baseURL of its provider", "anthropic_messages", True)),
    (r"\bai-sdk/google\b", Client("the AI SDK", "baseURL of its provider", "gemini", True)),
    (r"\bai-sdk/", Client("the AI SDK", "baseURL of its provider", has_versioned_base=True)),
    (
        r"\b(async)?azureopenai/",
        Client("the OpenAI SDK", "base_url= of OpenAI; not AzureOpenAI, which makes other paths", "openai_chat"),
    ),
    (r"\b(async)?openai/python\b", Client("the OpenAI Python SDK", "base_url= or OPENAI_BASE_URL", "openai_chat")),
    (r"\bopenai/js\b", Client("the OpenAI JavaScript SDK", "baseURL or OPENAI_BASE_URL", "openai_chat")),
    (
        r"\b(async)?anthropic/python\b",
        Client("the Anthropic Python SDK", "base_url= or ANTHROPIC_BASE_URL", "anthropic_messages"),
    ),
    (
        r"\banthropic/js\b",
        Client("the Anthropic JavaScript SDK", "baseURL or ANTHROPIC_BASE_URL", "anthropic_messages"),
    ),
    (
        r"\bgoogle-genai-sdk/\S* gl-node",
        Client("the Google Gen AI JavaScript SDK", "httpOptions.baseUrl or GOOGLE_GEMINI_BASE_URL", "gemini"),
    ),
    (
        r"\bgoogle-genai-sdk/",
        Client("the Google Gen AI SDK", "base_url in http_options, or GOOGLE_GEMINI_BASE_URL", "gemini"),
    ),
)
_CLIENTS = tuple((re.compile(pattern), client) for pattern, client in CLIENTS)
_MAX_LENGTH = 300


def identify(headers: Headers) -> Client | None:
    """The program that sent these headers, or None for one that is not known."""
    words = [headers.get(name, "")[:_MAX_LENGTH] for name in ("user-agent", "x-title", "originator")]
    if "x-openwebui-user-id" in headers:
        words.append("open-webui")
    text = "\n".join(words).lower()
    return next((client for expression, client in _CLIENTS if expression.search(text)), None)


def base_url(root_url: str, dialect: str, client: Client | None = None) -> str:
    """The Base URL for a protocol's clients, or for a certain one.

    :param root_url: where agproxy is reached, with a slash at the end.
    """
    found = DIALECTS[dialect]
    base = found.versioned_base if client is not None and client.has_versioned_base else found.base
    return f"{root_url}{base}".rstrip("/")

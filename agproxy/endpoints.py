"""The endpoints that clients put at the end of a path, served by agproxy or not, so that each is known."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What may stand at the end of a path.

    :param tail: its segments, in lower case.
    :param dialect: the protocol whose clients add it.
    :param meant: the endpoint of agproxy that comes next to it; empty for the same.
    :param problem: what is wrong with it, when it is another service's, whose requests look otherwise.
    """

    tail: tuple[str, ...]
    dialect: str
    meant: str = ""
    problem: str = ""
    has_version: bool = True


def _endpoints(dialect: str, *tails: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(tuple(tail.split("/")), dialect) for tail in tails)


def _googles(**problems: str) -> tuple[Endpoint, ...]:
    """What else Google's API has, by its name, and what to do without it."""
    return tuple(Endpoint((name.lower(),), "gemini", name, problem) for name, problem in problems.items())


_OLLAMA = "that is Ollama's own API, while agproxy speaks OpenAI's: choose an OpenAI-compatible provider in the client"


def _ollama(*tails: str, meant: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(("api", tail), "openai_chat", meant, _OLLAMA) for tail in tails)


# Wire: the API references of OpenAI, Anthropic and Ollama (docs/api.md).
ENDPOINTS = (
    *_endpoints("openai_chat", "chat/completions", "models", "embeddings", "moderations", "files", "batches"),
    *_endpoints("openai_chat", "images/generations", "images/edits", "images/variations"),
    *_endpoints("openai_chat", "audio/speech", "audio/transcriptions", "audio/translations"),
    *_endpoints("openai_completions", "completions"),
    *_endpoints("openai_responses", "responses", "responses/compact", "responses/input_tokens"),
    *_endpoints("anthropic_messages", "messages", "messages/count_tokens", "messages/batches"),
    Endpoint(("healthz",), "openai_chat", has_version=False),
    Endpoint(("health",), "openai_chat", has_version=False),
    Endpoint(("chat", "completion"), "openai_chat", "chat/completions"),
    Endpoint(("chat",), "openai_chat", "chat/completions", "it stops before /completions"),
    *_ollama("chat", "generate", meant="chat/completions"),
    *_ollama("tags", "show", "ps", "version", meant="models"),
    *_ollama("embed", "embeddings", meant="embeddings"),
)
GOOGLES = _googles(
    cachedContents="agproxy keeps no caches of Google's; Gemini caches by itself what a conversation begins with",
    corpora="agproxy has nothing of Google's semantic retrieval",
    files="agproxy stores no files; send their content within the request, as inlineData",
    fileSearchStores="agproxy has nothing of Google's file search",
    generatedFiles="agproxy stores no files",
    batches="agproxy has no batches; send each request by itself",
    interactions="agproxy does not have Google's Interactions API; use generateContent",
    operations="agproxy has no operations that run for long",
    tunedModels="agproxy does not have tuned models",
)
LIVE = Endpoint(("ws", "*"), "gemini", "", "agproxy does not have the Live API, which runs over a WebSocket")
BY_LENGTH = tuple(sorted((*ENDPOINTS, *GOOGLES), key=lambda endpoint: -len(endpoint.tail)))
MODEL = Endpoint(("models", "*"), "openai_chat")
STORED = Endpoint(("responses", "*"), "openai_responses")
ACTION = Endpoint(("models", "*"), "gemini")
GOOGLE_NAMES = {endpoint.tail[0]: endpoint for endpoint in GOOGLES}

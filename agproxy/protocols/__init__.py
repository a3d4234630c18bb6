"""What clients speak: one module a protocol.

Each has ``NAME`` and ``encode_error``; one whose routes are served has ``ID_PREFIX decode_request encode_reply
encode_stream encode_failure`` too, as ``openai_chat`` does, and a line for each of its paths in ``routes.py``.
"""

from types import ModuleType

from agproxy.auth import Headers
from agproxy.protocols import anthropic_messages, gemini, openai_chat


def suggested(path: str, headers: Headers) -> ModuleType:
    """The protocol that a path, or else the headers, suggest; OpenAI's when nothing does.

    It decides only how an error looks, so that the client that took a wrong turn can read it.
    """
    if path.startswith("/v1beta/openai"):
        return openai_chat
    if path.startswith("/v1beta") or ":generateContent" in path or ":streamGenerateContent" in path:
        return gemini
    if "/messages" in path or path.startswith("/api/event_logging"):
        return anthropic_messages
    if "/chat/completions" in path or "/responses" in path or "/completions" in path:
        return openai_chat
    if "anthropic-version" in headers:
        return anthropic_messages
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return gemini
    return openai_chat

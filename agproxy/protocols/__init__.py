"""What clients speak: one module a protocol.

Each has ``NAME`` and ``encode_error``; one whose routes are served has ``ID_PREFIX decode_request encode_reply
encode_stream encode_failure`` too, as ``openai_chat`` does, and a line for each of its paths in ``routes.py``. It may
have ``FIELD_NAMES``, its own names for the fields of the hub, and ``REQUEST_ID_HEADER``. Where its clients list models
it has ``encode_models encode_model``. The bodies of ``gemini`` pass as they are, so that it has no ``encode_reply``.
"""

from types import ModuleType

from agproxy.auth import Headers
from agproxy.protocols import anthropic_messages, gemini, openai_chat, openai_completions, openai_responses

# The last of these in a path tells: what stands before it is the Base URL, where anything may have been typed.
_IN_PATHS = (
    ("/v1beta/openai", openai_chat),
    ("/chat/completions", openai_chat),
    ("/completions", openai_completions),
    ("/responses", openai_responses),
    ("/messages", anthropic_messages),
    ("/api/event_logging", anthropic_messages),
    ("/v1beta", gemini),
    ("/v1alpha", gemini),
    (":batchembedcontents", gemini),
    (":generatecontent", gemini),
    (":streamgeneratecontent", gemini),
    (":counttokens", gemini),
    (":embedcontent", gemini),
)
_IN_USER_AGENTS = (
    ("anthropic", anthropic_messages),
    ("claude-", anthropic_messages),
    ("google-genai-sdk/", gemini),
    ("geminicli", gemini),
    ("ai-sdk/google", gemini),
)


def suggested(path: str, headers: Headers, *, has_query_key: bool = False) -> ModuleType:
    """The protocol that a path, or else the headers, suggest; OpenAI's when nothing does.

    It decides how an error looks, so that the client that took a wrong turn can read it, and how a list of models does.

    :param has_query_key: ``?key=`` is in the query, where only clients of Gemini put it.
    """
    path = path.lower()
    # By their ends: those of /chat/completions and /completions are the same, and then the first of the list counts.
    ends = [place + len(mark) if (place := path.rfind(mark)) >= 0 else 0 for mark, _ in _IN_PATHS]
    if last := max(ends):
        return _IN_PATHS[ends.index(last)][1]
    if "anthropic-version" in headers:
        return anthropic_messages
    if has_query_key or "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return gemini
    user_agent = headers.get("user-agent", "").lower()
    return next((found for mark, found in _IN_USER_AGENTS if mark in user_agent), openai_chat)

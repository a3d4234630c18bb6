"""What a path that agproxy does not serve was meant to be, and how to say so.

Clients make paths from a Base URL that somebody typed, so what goes wrong is of few kinds: too much or too little of
a version in front, another service's prefix, the whole endpoint where its beginning belongs, slashes. The endpoint
that the client itself added stands at the end of the path; everything before it came from the Base URL.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from agproxy.clients import DIALECTS, Client, base_url
from agproxy.endpoints import ACTION, BY_LENGTH, ENDPOINTS, GOOGLE_NAMES, LIVE, MODEL, STORED, Endpoint
from agproxy.errors import redact

# Gives the methods that a path takes; none for one that is not served.
MethodsOf = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class NearMiss:
    """What a path was meant to be.

    :param path: the served path that it should have been, or None.
    :param methods: what ``path`` takes.
    :param unserved: the path that it should have been, where agproxy does not serve that one; else None.
    :param wrong: what is wrong with the path as sent, in words.
    :param is_safe: whether the same request can be served at ``path``.
    :param missing: what agproxy does not have, in words, when it is that and nothing else.
    """

    path: str | None
    methods: tuple[str, ...]
    unserved: str | None
    dialect: str
    wrong: tuple[str, ...]
    is_safe: bool
    missing: str = ""


_ACTION_SEGMENT = re.compile(r"[^:]+:[a-z]*(?:content|contents|tokens|text|predict|predictlongrunning)")

# What other services and proxies have in front of the version, or instead of it.
_FOREIGN = frozenset(
    (
        *("agproxy", "ai", "anthropic", "antigravity", "api", "backend-api", "beta", "claude", "codex"),
        *("compatible-mode", "gateway", "gemini", "genai", "google", "inference", "litellm", "llm", "lmstudio"),
        *("ollama", "openai", "openrouter", "paas", "proxy", "upload"),
    )
)
_NAMED = {  # followed by the name of a model
    "deployments": "it is a path of Azure OpenAI, while agproxy takes the model from the body",
    "engines": "it names the model as OpenAI's first API did, while agproxy takes it from the body",
}
_KEYWORDS = frozenset(word for endpoint in ENDPOINTS for word in endpoint.tail) | {"v1", "v1beta"}
_VERSION = re.compile(r"v\d{1,2}(?:alpha|beta|internal)?\d{0,2}")
_GEMINI_VERSIONS = ("v1beta", "v1alpha")
GOOGLE_BASE = "v1beta/openai"  # https://ai.google.dev/gemini-api/docs/openai

_STRAY = " \t\r\n\v\f\xa0\u200b\ufeff\"'`,;<>"
_GLUED_QUERY = re.compile(r"[?#&][^/]*")
_MAX_LENGTH = 2000

# What generates answers, if its endpoint is served: the dialect, in words.
_SURFACES = {
    "openai_chat": "OpenAI's Chat Completions",
    "openai_completions": "OpenAI's older Completions",
    "openai_responses": "OpenAI's Responses",
    "anthropic_messages": "Anthropic's Messages",
    "gemini": "Gemini's own API",
}


def find(method: str, path: str, *, query: str = "", methods_of: MethodsOf) -> NearMiss | None:
    """What ``path`` was meant to be, or None when nothing is near; for a served path, that path.

    :param query: the query string. A Base URL that ends in one has put the rest of the path there.
    """
    if len(path) + len(query) > _MAX_LENGTH:
        return None
    found = _found(method, path, methods_of)
    if found is None and "/" in query:
        found = _found(method, f"{path}?{query}", methods_of)
        if found is not None:
            wrong = ("the Base URL ends in a query string, which then swallows the path",)
            found = NearMiss(found.path, found.methods, found.unserved, found.dialect, wrong, is_safe=False)
    return found


def explain(
    method: str,
    path: str,
    miss: NearMiss | None,
    *,
    client: Client | None,
    dialect: str,
    root_url: str,
    methods_of: MethodsOf,
) -> str:
    """Why there is no such path, which Base URL the client needs, and where its request belongs.

    :param dialect: the protocol that the client speaks.
    :param root_url: where agproxy is reached, with a slash at the end.
    """
    text = f"agproxy does not serve {shown(method, 20)} {_as_sent(path, root_url)}"
    root_url = shown(root_url, 200)
    if miss is None:
        base = _base_sentence(root_url, dialect, client)
        if _is_served(DIALECTS[dialect].endpoint, methods_of):
            return f"{text}. {base}, with {_below(dialect)} below it"
        return f"{text}. {base}, but {_not_served(DIALECTS[dialect].endpoint, root_url, methods_of)}"
    if miss.missing:
        return f"{text}: {miss.missing}. {_OF_GEMINI}"
    wrong = ": " + ", and ".join(miss.wrong) if miss.wrong else ""
    if miss.path is None:
        if not wrong:
            return f"this version of {text}. It has {_surfaces(root_url, methods_of)}"
        missing = _not_served(miss.unserved or "", root_url, methods_of)
        return f"{text}{wrong}. {_base_sentence(root_url, dialect, client)}, but {missing}"
    takes = method if method in miss.methods else miss.methods[0]
    base = _base_sentence(root_url, dialect, client, miss.path)
    text = f"{text}{wrong}. {base}; the request then goes to {takes} {root_url}{shown(miss.path[1:])}"
    if method not in miss.methods:
        text += f", which takes {' and '.join(miss.methods)}, not {shown(method, 20)}"
    if miss.is_safe:
        text += ". fix_paths = on in [server] of agproxy.ini would serve it as it came"
    return text


_OF_GEMINI = (
    "Of Gemini's API it has models, and of each model generateContent, streamGenerateContent, countTokens, embedContent"
    " and batchEmbedContents"
)


def explain_method(
    method: str, path: str, allow: tuple[str, ...], *, client: Client | None, dialect: str, root_url: str
) -> str:
    """Why this method is none for a path that is served."""
    text = f"{_as_sent(path, root_url)} takes {' and '.join(allow)}, not {shown(method, 20)}"
    if allow == ("POST",) and method in ("GET", "HEAD"):
        text += ". It wants a POST with a JSON body, which the address bar of a browser cannot send"
    return f"{text}. {_base_sentence(shown(root_url, 200), dialect, client, path)}"


def greeting(root_url: str, methods_of: MethodsOf) -> str:
    """What agproxy says to somebody who just opens its address."""
    return f"agproxy runs here. It has {_surfaces(shown(root_url, 200), methods_of)}"


def shown(text: str, length: int = 120) -> str:
    """A text from outside, in printable ASCII, of bounded length, and without Google's keys."""
    text = redact(ascii(text[: _MAX_LENGTH * 2])[1:-1])
    return text if len(text) <= length else text[: length - 3] + "..."


def served_surfaces(methods_of: MethodsOf) -> dict[str, str]:
    """What generates answers here, in words, by dialect."""
    return {name: words for name, words in _SURFACES.items() if _is_served(DIALECTS[name].endpoint, methods_of)}


def _as_sent(path: str, root_url: str) -> str:
    """The path as its client sees it, under the prefix that agproxy is mounted at."""
    prefix = root_url.split("/", 3)[3].rstrip("/")
    return shown(f"/{prefix}" if prefix else "", 80) + shown(path)


def _is_served(path: str, methods_of: MethodsOf) -> bool:
    return "POST" in methods_of(path)


def _below(dialect: str) -> str:
    known = DIALECTS[dialect]
    return "chat/completions and models" if dialect == "openai_chat" else known.endpoint.removeprefix(f"/{known.base}/")


def _base_sentence(root_url: str, dialect: str, client: Client | None, path: str = "") -> str:
    base = base_url(root_url, dialect, client)
    if path.startswith(f"/{GOOGLE_BASE}/"):
        base = f"{root_url}{GOOGLE_BASE}"
    name = client.name if client else DIALECTS[dialect].people
    text = f"The Base URL for {name} is {base}" + (f" ({client.setting})" if client else "")
    return text if base != root_url.rstrip("/") else f"{text}, without a version, which the client adds"


def _not_served(path: str, root_url: str, methods_of: MethodsOf) -> str:
    return f"this version of agproxy does not have {shown(path)}. It has {_surfaces(root_url, methods_of)}"


def _surfaces(root_url: str, methods_of: MethodsOf) -> str:
    """What generates answers, by the Base URL that it is reached with."""
    by_base: dict[str, list[str]] = {}
    for dialect, words in served_surfaces(methods_of).items():
        by_base.setdefault(base_url(root_url, dialect), []).append(f"{words} (POST {DIALECTS[dialect].endpoint})")
    return "; ".join(f"{_listed(words)} at the Base URL {base}" for base, words in by_base.items())


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(slots=True)
class _Front:
    """What stands before the endpoint."""

    versions: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    named: str = ""
    has_unknown: bool = False  # a word that nobody knows, behind the version if there is one


def _found(method: str, path: str, methods_of: MethodsOf) -> NearMiss | None:
    plain = _GLUED_QUERY.sub("", path)
    sent = plain.split("/")
    segments = [bare for bare in map(_bare, sent) if bare]
    words = [segment.lower() for segment in segments]
    split = _split(words)
    if split is None:
        return None
    endpoint, start, end = split
    front = _front(words[:start])
    if front.has_unknown and (len(endpoint.tail) == 1 or endpoint is MODEL):
        return None  # /v1/threads/x/messages: a resource of its own
    dialect, meant = _meant(endpoint, segments[start:], words[:start], front, methods_of)
    methods = methods_of(meant)
    if dialect == "gemini" and endpoint is ACTION and "POST" not in methods:
        methods = ()  # the name of an OpenAI model may look like this
    rest = "/".join(segments[end:])
    if rest and not methods:
        meant, rest = f"{meant}/{rest}", ""
    missing = ""
    if endpoint is ACTION and not methods:
        missing = "agproxy does not have this method of a model"
    elif dialect == "gemini" and not methods:
        missing = next(
            (entry.problem for entry in (endpoint, GOOGLE_NAMES.get(endpoint.tail[0])) if entry and entry.problem), ""
        )
    if path == meant:
        wrong = []
    else:
        keywords = zip(segments[:end], words[:end], strict=True)
        wrong = [
            *_slips(path, plain, sent),
            *(["it is written with capital letters"] if any(a != b for a, b in keywords if b in _KEYWORDS) else []),
            *_front_problems(front, endpoint, meant),
            *([f"/{shown(rest, 60)} at its end is too much"] if rest else []),
            *([endpoint.problem] if endpoint.problem else []),
        ] or [f"its end is not /{shown('/'.join(meant.split('/')[2:]), 60)}"]
    is_safe = not (endpoint.problem or front.has_unknown or rest) and method in methods
    served, unserved = (meant, None) if methods else (None, meant)
    return NearMiss(served, methods, unserved, dialect, tuple(wrong), is_safe, missing)


def _bare(segment: str) -> str:
    """A segment without the blanks and quotes that were copied together with a URL."""
    return segment.replace("%20", " ").replace("%22", '"').strip(_STRAY)


def _split(words: list[str]) -> tuple[Endpoint, int, int] | None:
    """The endpoint that the client added, and where it begins and ends: at the end of the path, else the last one."""
    count = len(words)
    if found := _at_end(words, count):
        return found
    if words[:1] == ["ws"]:
        return LIVE, 0, count
    if "tunedmodels" in words:
        return GOOGLE_NAMES["tunedmodels"], words.index("tunedmodels"), count
    if words and _ACTION_SEGMENT.fullmatch(words[-1]):  # a model's name may hold slashes
        start = max((place for place, word in enumerate(words) if word == "models"), default=count - 1)
        return ACTION, start, count
    for place, (word, after) in enumerate(pairwise(words)):
        if word == "responses" and after.startswith("resp_"):
            return STORED, place, count
    if "models" in words:
        return MODEL, words.index("models"), count
    for end in range(count - 1, 0, -1):
        if found := _at_end(words, end):
            return found
    return None


def _at_end(words: list[str], end: int) -> tuple[Endpoint, int, int] | None:
    for endpoint in BY_LENGTH:
        start = end - len(endpoint.tail)
        if start >= 0 and tuple(words[start:end]) == endpoint.tail:
            return endpoint, start, end
    return None


def _front(words: list[str]) -> _Front:
    front = _Front()
    at = 0
    while at < len(words):
        word = words[at]
        inner = next((entry for entry in BY_LENGTH if tuple(words[at : at + len(entry.tail)]) == entry.tail), None)
        if inner is not None:
            front.endpoints.append("/".join(inner.tail))
            at += len(inner.tail)
            continue
        if _VERSION.fullmatch(word):
            front.versions.append(word)
            front.has_unknown = False
        elif word in _NAMED and at + 1 < len(words):
            front.named = _NAMED[word]
            at += 1
        else:
            front.foreign.append(word)
            front.has_unknown = front.has_unknown or word not in _FOREIGN
        at += 1
    return front


def _meant(
    endpoint: Endpoint, segments: list[str], before: list[str], front: _Front, methods_of: MethodsOf
) -> tuple[str, str]:
    """The dialect and the path of an endpoint.

    :param segments: the path from the endpoint on, as sent.
    :param before: what is before it, in lower case.
    """
    if not endpoint.has_version:
        return endpoint.dialect, "/" + "/".join(endpoint.tail)
    version = front.versions[-1] if front.versions else ""
    is_googles = any(pair == ("v1beta", "openai") for pair in pairwise(before))
    if endpoint is ACTION:
        name = "/".join(segments[1:] if segments[0].lower() == "models" else segments)
        return "gemini", f"/{'v1' if version == 'v1' else 'v1beta'}/models/{name}"
    if endpoint is LIVE:
        return "gemini", "/" + "/".join(segments)
    if endpoint.tail[0] in GOOGLE_NAMES and version in _GEMINI_VERSIONS and not is_googles:
        endpoint = GOOGLE_NAMES[endpoint.tail[0]]
    meant = endpoint.meant or "/".join(endpoint.tail)
    if endpoint.dialect == "gemini":
        return "gemini", f"/v1beta/{meant}"
    if endpoint in (MODEL, STORED):
        meant = "/".join([endpoint.tail[0], *segments[1:]])
    if endpoint.tail[0] == "models" and version in _GEMINI_VERSIONS and not is_googles:
        return "gemini", f"/v1beta/{meant}"
    if is_googles and methods_of(f"/{GOOGLE_BASE}/{meant}"):
        return endpoint.dialect, f"/{GOOGLE_BASE}/{meant}"
    return endpoint.dialect, f"/v1/{meant}"


def _slips(path: str, plain: str, sent: list[str]) -> list[str]:
    """Slips of the pen."""
    wrong = []
    if plain != path:
        wrong.append("a query string has become a part of it")
    if any(_bare(segment) != segment for segment in sent):
        wrong.append("it has a blank or a quotation mark in it")
    if "" in sent[1:-1]:
        wrong.append("it has two slashes in a row")
    elif len(sent) > 1 and sent[-1] == "":
        wrong.append("it ends in a slash")
    return wrong


def _front_problems(front: _Front, endpoint: Endpoint, meant: str) -> list[str]:
    """What is wrong with the version, and with what else stands before the endpoint."""
    wanted = meant.split("/")[1] if endpoint.has_version else ""
    versions = front.versions
    foreign = [word for word in front.foreign if not (word == "openai" and meant.startswith(f"/{GOOGLE_BASE}/"))]
    wrong = []
    if front.endpoints:
        wrong.append(f"the Base URL ends in /{front.endpoints[0]}, and the client adds its own path to that")
    elif len(versions) > 1 and len(set(versions)) == 1:
        wrong.append(f"/{versions[0]} is in it {'twice' if len(versions) == 2 else f'{len(versions)} times'}")
    elif len(versions) > 1:
        wrong.append(f"{' and '.join(f'/{version}' for version in dict.fromkeys(versions))} are in it together")
    elif not versions and wanted and not front.named and not endpoint.problem:
        wrong.append(f"its /{wanted} is missing")
    elif versions and versions != [wanted] and not front.named and not endpoint.problem:
        wrong.append(f"it has /{versions[0]}" + (f" where /{wanted} belongs" if wanted else ", which does not belong"))
    if front.named:
        wrong.append(front.named)
    elif foreign:
        wrong.append(f"/{shown('/'.join(foreign), 60)} does not belong in it")
    return wrong

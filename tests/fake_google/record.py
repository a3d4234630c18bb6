"""What the fake remembers of each request."""

from dataclasses import dataclass, field
from typing import Any

from tests.fake_google.refusal import JsonObject, Refusal


@dataclass
class RecordedRequest:
    """One request as it came, and what became of it.

    :param path: as sent, not decoded.
    :param raw: the bytes of the body, as they came.
    :param query: the raw query string, without "?".
    :param headers: names in lower case.
    :param key: the ``x-goog-api-key``, or None.
    :param model: the model named in the path, or "".
    :param method: ``generateContent``, ``streamGenerateContent``, ``countTokens``, ``embedContent``,
        ``batchEmbedContents``, ``listModels``, ``getModel`` or "".
    :param body: the JSON as sent, ``{}`` when there is none or it cannot be read.
    :param canonical: the same with snake_case names, set once it passed the protobuf check.
    :param dummies: (content index, part index) of every dummy thought signature.
    :param time: ``time.monotonic()`` when it had been read.
    :param connection: the number of the connection it came on, from 1.
    :param outcome: the HTTP status answered; None while nothing was sent.
    :param sent: the events or the one body that were to be sent.
    :param sent_raw: the bytes of that body, before any gzip, and whole even if the script cuts them short: what the
        client of a gateway must get that hands on answers untouched.
    :param script_error: what a test's own answering function raised.
    :param client_closed_at: ``time.monotonic()`` when the client was seen to have gone before the answer's end.
    :param finished_at: ``time.monotonic()`` when the fake was done with it.
    """

    verb: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    time: float
    connection: int
    key: str | None = None
    model: str = ""
    method: str = ""
    body: Any = field(default_factory=dict)
    canonical: JsonObject = field(default_factory=dict)
    dummies: tuple[tuple[int, int], ...] = ()
    outcome: int | None = None
    refusal: Refusal | None = None
    sent: Any = None
    sent_raw: bytes = b""
    script_error: str | None = None
    client_closed_at: float | None = None
    finished_at: float | None = None

    @property
    def stream(self) -> bool:
        """Whether the streaming method was called."""
        return self.method == "streamGenerateContent"

    @property
    def sse(self) -> bool:
        """Whether a stream is wanted as server-sent events; it is a JSON array otherwise."""
        return bool({"alt=sse", "$alt=sse"} & set(self.query.split("&")))

    @property
    def contents(self) -> list[JsonObject]:
        """``contents`` with snake_case names."""
        found = self.canonical.get("contents", [])
        return list(found)

    @property
    def inputs(self) -> list[str]:
        """The texts that are to be embedded, one a request."""
        requests = self.canonical.get("requests", [self.canonical])
        parts = [each["content"].get("parts", ()) for each in requests if "content" in each]
        return ["".join(part.get("text", "") for part in found) for found in parts]

    @property
    def last_user_text(self) -> str:
        """The text of the last user content that has any."""
        for content in reversed(self.contents):
            if content.get("role", "user") == "user":
                words = "".join(part.get("text", "") for part in content["parts"])
                if words:
                    return words
        return ""

    @property
    def results(self) -> list[JsonObject]:
        """The functionResponses of the last content: what a client answered to the calls made before."""
        last = self.contents[-1] if self.contents else {"parts": []}
        return [part["function_response"] for part in last["parts"] if "function_response" in part]

    @property
    def text(self) -> str:
        """All text of contents and system instruction, for counting tokens."""
        everything = [*self.contents, self.canonical.get("system_instruction", {})]
        return "".join(part.get("text", "") for content in everything for part in content.get("parts", ()))

    @property
    def tool_names(self) -> list[str]:
        """The names of all declared functions."""
        tools = self.canonical.get("tools", [])
        return [declared["name"] for tool in tools for declared in tool.get("function_declarations", ())]

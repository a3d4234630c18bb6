"""Who holds the conversation: clients of all protocols, by name.

How a protocol joins:

1. Write a class that is a ``Speaker``, in a module named for the protocol. ``__init__`` begins a conversation whose
   system text is ``table.SYSTEM`` and whose answers hold at most ``table.MAX_TOKENS``. ``say`` adds ``turn.says`` to
   the history as that protocol's clients do, posts the whole of it with the turn's tools, effort and schema, adds what
   it heard to the history, and returns that as a ``Heard``. It checks by itself what is strict in its protocol: the
   order of events, ids that stay the same, fields that must be there. The rest of the turn (``contents``, ``answer``,
   ``heard``, ``remembered``) is none of its business.
2. Add a line to ``SPEAKERS``, and one for each client that keeps its history differently.
3. If it talks through a ``wire.Wire``, add a line to ``WITHOUT_SERVER``: then it is also tried without any server.

What a protocol cannot say, it says in ``lacks``: a turn that needs it ends the conversation early. ("history" is needed
from the second turn on; lacking "system" only leaves the instruction out, and lacking "thinking" asks for as little of
it as there is.) A native Gemini client leaves thoughts out of its history, and writes a result as ``{"output": text}``
or ``{"error": text}``, as agproxy does for the others.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Protocol

from agproxy.protocols import anthropic_messages as anthropic_messages_protocol
from agproxy.protocols import openai_chat as openai_chat_protocol
from agproxy.protocols import openai_completions as openai_completions_protocol
from agproxy.protocols import openai_responses as openai_responses_protocol
from tests.conversation.anthropic_messages import MessagesOverHttp, MessagesOverSdk
from tests.conversation.gemini import GeminiOverHttp, GeminiOverSdk
from tests.conversation.openai_chat import ChatOverHttp, ChatOverSdk
from tests.conversation.openai_completions import CompletionsOverHttp, CompletionsOverSdk
from tests.conversation.openai_responses import ResponsesOverHttp, ResponsesOverSdk
from tests.conversation.turn import Heard, Need, Turn
from tests.conversation.wire import HttpWire, Wire


class Speaker(Protocol):
    """A client in one conversation.

    :ivar lacks: what its protocol cannot say.
    :ivar keeps_text_signatures: its history carries the thought signature of a text. (That of a call comes back either
        way: agproxy keeps those too.)
    :ivar marks_errors: its results say whether the tool failed.
    :ivar is_native: it writes Gemini's own bodies, in any spelling that Google takes, and agproxy hands them on.
    """

    @property
    def lacks(self) -> frozenset[Need]: ...
    @property
    def keeps_text_signatures(self) -> bool: ...
    @property
    def marks_errors(self) -> bool: ...
    @property
    def is_native(self) -> bool: ...

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        """Send the turn, with all that went before, and read its answer."""

    def close(self) -> None:
        """End the conversation."""


# name: what makes the speaker, given the base URL of an agproxy (without a path) and a model
SPEAKERS: Mapping[str, Callable[[str, str], Speaker]] = {
    "chat": lambda url, model: ChatOverHttp(HttpWire(url), model, keeps_extra_content=True),
    "chat, drops extra_content": lambda url, model: ChatOverHttp(HttpWire(url), model, keeps_extra_content=False),
    "openai SDK": partial(ChatOverSdk, keeps_extra_content=True),
    "openai SDK, drops extra_content": partial(ChatOverSdk, keeps_extra_content=False),
    "responses": lambda url, model: ResponsesOverHttp(HttpWire(url), model, memory="whole"),
    "responses, stateless": lambda url, model: ResponsesOverHttp(HttpWire(url), model, memory="stateless"),
    "responses, drops all it can": lambda url, model: ResponsesOverHttp(HttpWire(url), model, memory="remade"),
    "responses, stored": lambda url, model: ResponsesOverHttp(HttpWire(url), model, memory="stored"),
    "openai SDK, responses": partial(ResponsesOverSdk, memory="whole"),
    "openai SDK, stateless responses": partial(ResponsesOverSdk, memory="stateless"),
    "openai SDK, stored responses": partial(ResponsesOverSdk, memory="stored"),
    "completions": lambda url, model: CompletionsOverHttp(HttpWire(url), model),
    "openai SDK, completions": CompletionsOverSdk,
    "messages": lambda url, model: MessagesOverHttp(HttpWire(url), model, keeps_thinking=True),
    "messages, drops thinking": lambda url, model: MessagesOverHttp(HttpWire(url), model, keeps_thinking=False),
    "anthropic SDK": partial(MessagesOverSdk, keeps_thinking=True),
    "anthropic SDK, drops thinking": partial(MessagesOverSdk, keeps_thinking=False),
    "gemini": lambda url, model: GeminiOverHttp(HttpWire(url), model, form="sse"),
    "gemini, streams arrays": lambda url, model: GeminiOverHttp(HttpWire(url), model, form="array"),
    "google-genai SDK": GeminiOverSdk,
}

# protocol: what makes its speaker, given a wire and a model; one that needs nothing of agproxy's store
WITHOUT_SERVER: Mapping[ModuleType, Callable[[Wire, str], Speaker]] = {
    openai_chat_protocol: partial(ChatOverHttp, keeps_extra_content=True),
    openai_responses_protocol: partial(ResponsesOverHttp, memory="stateless"),
    openai_completions_protocol: CompletionsOverHttp,
    anthropic_messages_protocol: partial(MessagesOverHttp, keeps_thinking=True),
}

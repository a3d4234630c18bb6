"""Turns outside the table, with the clients of the table: for tests that ask one thing of all protocols."""

from typing import Any

from tests.conversation.speakers import SPEAKERS
from tests.conversation.turn import Effort, File, Heard, JsonObject, Result, Text, Tokens, Tool, Turn
from tests.fake_google import Answer, FakeGoogle

HI = Text("Hi")
# One client of each protocol that reads JSON and events by itself.
PROTOCOLS = ("chat", "completions", "responses", "messages", "gemini")
# Those that have more than one turn, and tools.
CONVERSING = ("chat", "responses", "messages", "gemini")
# What is heard, answered and remembered is for the test itself to say.
_UNTOLD: dict[str, Any] = {"contents": (), "answer": Answer(), "heard": Heard(Tokens(0, 0)), "remembered": ()}


class Talk:
    """A conversation of one client with agproxy.

    :param speaker: a name of ``SPEAKERS``.
    """

    def __init__(self, url: str, speaker: str, google: FakeGoogle, *, model: str = "gemini-3-flash-preview") -> None:
        self._speaker = SPEAKERS[speaker](url, model)
        google.native = self._speaker.is_native

    def say(
        self,
        *says: Text | File | Result,
        streamed: bool,
        tools: tuple[Tool, ...] = (),
        thinking: Effort | None = None,
        schema: JsonObject | None = None,
    ) -> Heard:
        """Say this, and hear the answer."""
        turn = Turn("outside the table", says or (HI,), tools=tools, thinking=thinking, schema=schema, **_UNTOLD)
        return self._speaker.say(turn, streamed=streamed)

    def close(self) -> None:
        """End it."""
        self._speaker.close()

"""The words in which the conversation is written: what a client says, what Gemini answers, what the client then hears.

None belongs to a protocol. What only a run can tell, the ids of calls and the thought signatures, has names of the
table's own (``"price-1"``, ``"signature of price-1"``), which ``play`` puts in the place of the real ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tests.fake_google import Answer

JsonObject = dict[str, Any]
Effort = Literal["low", "medium"]
Finish = Literal["stop", "length", "tool_calls"]
Family = Literal["2.5", "3"]
Need = Literal["system", "history", "files", "tools", "thinking", "schema"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the user."""

    text: str


@dataclass(frozen=True, slots=True)
class File:
    """A file that the user shows.

    :param base64: its content.
    """

    media_type: str
    base64: str
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool.

    :param id: the table's name for it; in what a speaker hears and is given, the real id, or "" if it has none.
    """

    name: str
    arguments: JsonObject
    id: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave back.

    :param is_error: the tool failed; a protocol that cannot say so sends the text alone.
    """

    call: Call
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call; ``parameters`` is JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


class Tokens(NamedTuple):
    """Counts of one answer, as OpenAI has them: ``input`` includes the cached ones, ``output`` the reasoning."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client has of one answer, streamed or not.

    :param json: the value of ``text``, where an answer by schema was asked for.
    """

    usage: Tokens
    finish: Finish = "stop"
    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    json: Any = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer.

    :param says: what the client adds to the conversation; it sends all that was said before along.
    :param contents: what that adds to the ``contents`` that Gemini receives.
    :param answer: what Gemini says.
    :param heard: what the client must hear of it.
    :param remembered: the parts of the model's content in the ``contents`` of all later turns. An ``id`` or
        ``thoughtSignature`` that Gemini's family does not give (2.5 has neither on calls) is to be left out.
    :param tools: which the model may call in this turn.
    :param thinking: how much the model is asked to think, and to show its thoughts.
    :param schema: JSON Schema that the answer must follow.
    """

    name: str
    says: tuple[Text | File | Result, ...]
    contents: tuple[JsonObject, ...]
    answer: Answer
    heard: Heard
    remembered: tuple[JsonObject, ...]
    tools: tuple[Tool, ...] = ()
    thinking: Effort | None = None
    schema: JsonObject | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """What a protocol must be able to say for this turn."""
        asked: Mapping[Need, bool] = {
            "files": any(isinstance(said, File) for said in self.says),
            "tools": bool(self.tools),
            "thinking": self.thinking is not None,
            "schema": self.schema is not None,
        }
        return frozenset(need for need, is_asked in asked.items() if is_asked)

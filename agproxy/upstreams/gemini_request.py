"""A :class:`ChatRequest` as the body of Gemini's ``generateContent``.

Wire: https://ai.google.dev/api/generate-content, ``google/ai/generativelanguage/v1beta`` of googleapis/googleapis.
"""

import base64
import binascii
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.models import may_need_signed_pictures, needs_thought_signatures
from agproxy.names import Unused
from agproxy.schema import MAX_DEPTH, function_parameters
from agproxy.upstreams.gemini_settings import encode_settings

# Stands for a signature that was lost or that another model made:
# https://ai.google.dev/gemini-api/docs/thought-signatures, FAQ.
DUMMY_SIGNATURE = "skip_thought_signature_validator"

# From Gemini 3.6 on "Requests ending with a model turn are not supported"
# (https://ai.google.dev/gemini-api/docs/generate-content/whats-new-gemini-3.6).
_GO_ON = "Continue."
_EARLIER = "(The beginning of this conversation was left out.)"
# The list of types that Google fetches has other names than the list of those it takes inline.
_EXTERNAL_TYPES = {"video/mov": "video/quicktime"}
_NO_RESULT = "No result: the call was interrupted before its tool answered."

Content = dict[str, Any]
_Pending = tuple[str, Content]  # the client's id of a call, and the functionCall that was sent


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """The bytes to post, and what is needed to read the answer.

    :param original_names: tool names by the name Gemini was given for them.
    :param used: the settings it holds that the model might refuse; see ``gemini_settings``.
    :param ignored: request fields that it does not honour.
    :param json_in_words: it asks for JSON in words only, so the answer may come in a code fence.
    """

    body: bytes
    original_names: Mapping[str, str]
    used: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()
    json_in_words: bool = False


def encode_request(
    chat: ChatRequest,
    *,
    model: str,
    keep_signatures: bool = True,
    dropped: Mapping[str, frozenset[str]] | None = None,
    without: frozenset[str] = frozenset(),
    safety: tuple[tuple[str, str], ...] = (),
) -> EncodedRequest:
    """The body that asks ``model`` for an answer to ``chat``.

    :param model: the Gemini model whose rules hold; its family decides about signatures, thinking and more.
    :param keep_signatures: False replaces what signatures there are, once Gemini has refused them.
    :param dropped: schema keywords to leave out, by tool name, once Gemini has refused them.
    :param without: settings to do without, once the model has refused them; see ``gemini_settings``.
    :param safety: (category, threshold) that hold where the request has none of its own.
    :raises BadRequest: when nothing is left that Gemini could answer.
    """
    names = _Names(tool.name for tool in chat.tools)
    signer = _Signer(
        keep=keep_signatures, demanded=needs_thought_signatures(model), pictures=may_need_signed_pictures(model)
    )
    settings = encode_settings(chat, model=model, without=without, safety=safety)
    contents = _contents(chat.messages, names, signer)
    system = [part for message in chat.messages if message.role == "system" for part in message.parts]
    system_parts = [{"text": part.text} for part in system if isinstance(part, TextPart) and part.text]
    if not contents and not system_parts:
        raise BadRequest("messages hold no text, file or tool result to answer", param="messages")
    system_parts += [{"text": words} for words in settings.instructions]
    body: dict[str, Any] = {}
    if not contents:
        contents = [{"role": "user", "parts": system_parts}]  # Gemini answers turns, not instructions alone
    elif system_parts and "system" in without:
        contents.insert(0, {"role": "user", "parts": system_parts})
        if contents[1]["role"] == "user" and "functionResponse" not in contents[1]["parts"][0]:
            contents[0]["parts"] += contents.pop(1)["parts"]
    elif system_parts:
        body["systemInstruction"] = {"parts": system_parts}
        settings.used.add("system")
    body["contents"] = contents
    if chat.tools:
        body["tools"] = [{"functionDeclarations": _declarations(chat.tools, names, dropped or {})}]
        if config := _calling_config(chat.tool_choice, names):
            body["toolConfig"] = {"functionCallingConfig": config}
    if chat.web_search:
        # Beside functions a search leaves parts that must come back with the history, which no client of another
        # protocol keeps: https://ai.google.dev/gemini-api/docs/tool-combination
        if chat.tools or "web_search" in without:
            settings.ignored += chat.web_search
        else:
            body["tools"] = [{"googleSearch": {}}]
            settings.used.add("web_search")
    body.update(settings.body)
    return EncodedRequest(
        body=encode_json(body),
        original_names=names.original,
        used=frozenset(settings.used),
        ignored=tuple(settings.ignored),
        json_in_words=settings.json_in_words,
    )


# One schema may unfold to a hundred times its size, within bounds of its own; a thousand of them must not.
_FEW_TOOLS = 24
_MAX_PARAMETERS_BYTES = 1_000_000  # of all tools, once there are more than a few; beyond it schemas are kept shallow
_SHALLOW = 3


def _declarations(
    tools: Iterable[Tool], names: "_Names", dropped: Mapping[str, frozenset[str]]
) -> list[dict[str, Any]]:
    declarations: list[dict[str, Any]] = []
    total_bytes = 0
    for tool in tools:
        max_depth = MAX_DEPTH if total_bytes <= _MAX_PARAMETERS_BYTES else _SHALLOW
        declarations.append(_declaration(tool, names, dropped.get(tool.name, frozenset()), max_depth=max_depth))
        if len(declarations) > _FEW_TOOLS:
            total_bytes += len(encode_json(declarations[-1]))
    return declarations


def _declaration(tool: Tool, names: "_Names", dropped: frozenset[str], *, max_depth: int) -> dict[str, Any]:
    declaration: dict[str, Any] = {
        "name": names.given(tool.name),
        # Marked as required in content.proto.
        "description": tool.description if tool.description.strip() else f"The function {tool.name}.",
    }
    parameters = function_parameters(tool.parameters, drop=dropped, max_depth=max_depth)
    if parameters is not None:
        declaration["parametersJsonSchema"] = parameters
    return declaration


def _calling_config(choice: ToolChoice, names: "_Names") -> dict[str, Any] | None:
    """``allowedFunctionNames`` goes with ANY and VALIDATED only (FunctionCallingConfig)."""
    if choice.mode == "none":
        return {"mode": "NONE"}
    allowed = [names.given(name) for name in choice.names]
    if choice.mode == "required":
        return {"mode": "ANY", "allowedFunctionNames": allowed} if allowed else {"mode": "ANY"}
    return {"mode": "VALIDATED", "allowedFunctionNames": allowed} if allowed else None


# Turns. Gemini takes a call only after a user turn or a turn of results, and wants every turn with calls followed by
# one turn that holds exactly as many results and nothing else.


def _contents(messages: Iterable[Message], names: "_Names", signer: "_Signer") -> list[Content]:
    turns = _together(message for message in messages if message.role != "system" and _says_something(message))
    contents: list[Content] = []
    pending: list[_Pending] = []  # calls of the last model turn, whose results come next
    for is_model, group in groupby(turns, key=lambda message: message.role == "assistant"):
        parts = [part for message in group for part in message.parts]
        if is_model:
            encoded = _model_parts(parts, names, signer)
            asked = [part.id for part in parts if isinstance(part, ToolCallPart)]
            sent = [part["functionCall"] for part in encoded if "functionCall" in part]
            pending = list(zip(asked, sent, strict=True))
            if not encoded:
                continue
            if not contents or contents[-1]["role"] == "model":
                contents.append({"role": "user", "parts": [{"text": _GO_ON if contents else _EARLIER}]})
            contents.append({"role": "model", "parts": encoded})
        else:
            contents += _user_contents(parts, pending)
            pending = []
    if pending:  # nobody answered the last calls, and nothing came after them
        answered = [part for part in contents[-1]["parts"] if "functionCall" not in part]
        contents[-1:] = [{"role": "model", "parts": answered}] if answered else []
    if contents and contents[-1]["role"] == "model":
        contents.append({"role": "user", "parts": [{"text": _GO_ON}]})
    signer.sign_current_turn(contents)
    return contents


def _says_something(message: Message) -> bool:
    return any(
        bool(part.text or part.provider_metadata) if isinstance(part, TextPart) else not isinstance(part, ReasoningPart)
        for part in message.parts
    )


def _together(turns: Iterable[Message]) -> list[Message]:
    """The turns, with results that come after more words or calls of the model moved up to their own calls.

    They stay where they are when the user has spoken in between.
    """
    blocks: list[list[Message]] = [[]]  # what the model said at once, and what came after it
    homes: dict[str, int] = {}  # the block of each call that has no result yet
    is_model = has_user = False
    for message in turns:
        if message.role == "assistant":
            if not is_model:
                if has_user:
                    homes.clear()
                blocks.append([])
                is_model, has_user = True, False
            homes.update((part.id, len(blocks) - 1) for part in message.parts if isinstance(part, ToolCallPart))
            blocks[-1].append(message)
            continue
        is_model = False
        stay: list[Part] = []
        for part in message.parts:
            home = homes.pop(part.id, None) if isinstance(part, ToolResultPart) else None
            has_user = has_user or not isinstance(part, ToolResultPart)
            if home is None or home == len(blocks) - 1:
                stay.append(part)
            else:
                blocks[home].append(Message("tool", (part,)))
        if stay:
            blocks[-1].append(message if len(stay) == len(message.parts) else Message(message.role, tuple(stay)))
    return [message for block in blocks for message in block]


def _model_parts(parts: Iterable[Part], names: "_Names", signer: "_Signer") -> list[Content]:
    """Text first, then the calls together; thoughts are not sent back (their signatures ride on text and calls)."""
    said: list[Content] = []
    calls: list[Content] = []
    ids = Unused("-")  # clients repeat ids: those of the old function role are names
    for part in parts:
        match part:
            case TextPart():
                encoded = signer.sign({"text": part.text}, part.provider_metadata)
                if part.text or "thoughtSignature" in encoded:
                    said.append(encoded)
            case AttachmentPart():
                said.append(signer.sign(_file(part), part.provider_metadata))
            case ToolCallPart():
                call = {"id": ids.take(part.id), "name": names.given(part.name), "args": part.arguments}
                calls.append(signer.sign({"functionCall": call}, part.provider_metadata))
            case _:
                pass
    return said + calls


def _user_contents(parts: Iterable[Part], pending: list[_Pending]) -> list[Content]:
    """Results and other parts in contents of their own: Gemini 3.6 refuses a turn that mixes them.

    (https://github.com/deepnoodle-ai/dive/pull/287 tried every shape against the service.)
    """
    results: dict[str, deque[ToolResultPart]] = {}
    said: list[Content] = []
    wanted = Counter(call_id for call_id, _ in pending)
    for part in parts:
        match part:
            case TextPart() if part.text:
                said.append({"text": part.text})
            case AttachmentPart():
                said.append(_file(part))
            case ToolResultPart() if wanted[part.id]:
                wanted[part.id] -= 1
                results.setdefault(part.id, deque()).append(part)
            case ToolResultPart():  # of a call that the history no longer holds, or that has its result
                said.append({"text": f"Result of an earlier tool call:\n{_text(part)}"})
                said += [_file(file) for file in part.parts if isinstance(file, AttachmentPart)]
            case _:
                pass
    contents: list[Content] = []
    if pending:
        responses: list[Content] = []
        files: list[Content] = []
        for call_id, call in pending:
            queue = results.get(call_id)
            result = queue.popleft() if queue else None
            if result is None:
                response = {"error": _NO_RESULT}
            else:
                response = {"error" if result.is_error else "output": _text(result)}
            responses.append({"functionResponse": {"id": call["id"], "name": call["name"], "response": response}})
            if result is not None:
                files += [_file(file) for file in result.parts if isinstance(file, AttachmentPart)]
        contents.append({"role": "user", "parts": responses})
        said = files + said
    if said:
        contents.append({"role": "user", "parts": said})
    return contents


def _text(result: ToolResultPart) -> str:
    """A result's text, always sent as one string: Gemini reads ``$ref`` keys of an object as names of media."""
    return "\n".join(part.text for part in result.parts if isinstance(part, TextPart))


def _file(part: AttachmentPart) -> Content:
    if part.url:  # Google fetches it: https://ai.google.dev/gemini-api/docs/file-input-methods#external-urls
        media_type = _EXTERNAL_TYPES.get(part.media_type, part.media_type)
        return {"fileData": {"mimeType": media_type, "fileUri": part.url} if media_type else {"fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}


class _Signer:
    """Puts thought signatures where they belong.

    Gemini 3 and newer demand one on the first call of each step of the current turn, that is, after the last user
    content that is not a result (https://ai.google.dev/gemini-api/docs/thought-signatures).
    """

    def __init__(self, *, keep: bool, demanded: bool, pictures: bool) -> None:
        self._keep = keep
        self._demanded = demanded
        self._pictures = pictures

    def sign(self, part: Content, metadata: Metadata | None) -> Content:
        if self._keep and metadata:
            signature = metadata.get("google", {}).get("thought_signature")
            if isinstance(signature, str) and signature != DUMMY_SIGNATURE and _is_base64(signature):
                part["thoughtSignature"] = signature
        return part

    def sign_current_turn(self, contents: list[Content]) -> None:
        if self._pictures and not self._keep:
            self._sign_pictures(contents)
        if not self._demanded:
            return
        for content in reversed(contents):
            if content["role"] == "user":
                if "functionResponse" not in content["parts"][0]:
                    return
                continue
            first = next((part for part in content["parts"] if "functionCall" in part), None)
            if first is not None:
                first.setdefault("thoughtSignature", DUMMY_SIGNATURE)

    def _sign_pictures(self, contents: list[Content]) -> None:
        """Sign the first text and each image of the model's turns, once the model has missed a signature."""
        for content in contents:
            if content["role"] == "model":
                texts = [part for part in content["parts"] if "text" in part]
                for part in (*texts[:1], *(part for part in content["parts"] if "inlineData" in part)):
                    part.setdefault("thoughtSignature", DUMMY_SIGNATURE)


def _is_base64(text: str) -> bool:
    """Whether ``text`` can be a proto ``bytes`` field; anything else would fail the whole request."""
    try:
        return bool(base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        return False


_ALLOWED = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")


class _Names:
    """Function names as Gemini takes them, one to one, for one request.

    ``FunctionDeclaration.name`` takes more than ``FunctionCall.name`` does (content.proto); what both take starts
    with a letter or underscore and has at most 64 letters, digits, underscores and dashes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._given: dict[str, str] = {}
        self._unused = Unused("_", max_length=64)
        self.original: dict[str, str] = {}
        names = list(dict.fromkeys(names))
        for name in names:  # allowed names keep their own, whatever the others become
            if _ALLOWED.fullmatch(name):
                self._add(name, name)
        for name in names:
            self.given(name)

    def given(self, name: str) -> str:
        """The name that stands for ``name`` in this request."""
        known = self._given.get(name)
        if known is not None:
            return known
        changed = _FORBIDDEN.sub("_", name)
        if not changed or not (changed[0].isalpha() or changed[0] == "_"):
            changed = f"_{changed}"
        return self._add(name, changed)

    def _add(self, name: str, wanted: str) -> str:
        given = self._unused.take(wanted)
        self._given[name] = given
        self.original[given] = name
        return given

"""Conversations as Gemini's request: turns, names, signatures. The strict fake's validator judges every body."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    JsonFormat,
    Message,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.jsonwire import decode_object
from agproxy.protocols.openai_chat_request import decode_request
from agproxy.upstreams.gemini_request import DUMMY_SIGNATURE, EncodedRequest, encode_request
from tests.fake_google.signatures import Issued, SignatureLedger
from tests.fake_google.validate import Rules, validate

CONVERSATIONS = sorted(Path(__file__).parents[1].joinpath("data", "conversations").glob("*.json"))
MODELS = ("gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="  # one pixel
SIGNATURE = "c2lnbmF0dXJlIG9uZQ=="
HELLO = (Message("user", (TextPart("Hello."),)),)


class Anything(tuple[str, dict[str, Any]]):
    """Equal to what it is compared with."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class TrustingLedger(SignatureLedger):
    """Takes every well-formed signature for a real one; a dummy only where one is needed."""

    def find(self, signature: str) -> Issued | None:
        return Issued(Anything(("", {})), "")


def judged(model: str, encoded: EncodedRequest) -> dict[str, Any]:
    """The body, once the fake's validator has taken it."""
    validate(model, encoded.body, Rules(ledger=TrustingLedger(strict_dummies=True)))
    body: dict[str, Any] = json.loads(encoded.body)
    return body


def encoded(chat: ChatRequest, model: str = "gemini-2.5-flash", **options: Any) -> dict[str, Any]:
    return judged(model, encode_request(chat, model=model, **options))


def chat_of(*messages: Message, tools: tuple[Tool, ...] = (), choice: ToolChoice | None = None) -> ChatRequest:
    return ChatRequest("m", messages or HELLO, tools=tools, tool_choice=choice or ToolChoice())


def called(call_id: str = "c1", name: str = "look", signature: str | None = None) -> Message:
    metadata = {"google": {"thought_signature": signature}} if signature else None
    return Message("assistant", (ToolCallPart(call_id, name, {}, metadata),))


def answered(call_id: str = "c1") -> Message:
    return Message("tool", (ToolResultPart(call_id, "", (TextPart("done"),)),))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_recorded_conversation(path: Path) -> None:
    case = json.loads(path.read_bytes())
    chat = decode_request({"model": "gpt-4o", **case["chat"]})
    assert encoded(chat, case["model"]) == case["gemini"], case["about"]


def test_there_are_recorded_conversations() -> None:
    assert len(CONVERSATIONS) >= 30


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": ""}],
        [{"role": "system", "content": ""}, {"role": "user", "content": []}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": None, "reasoning_content": "Hm."}],
    ],
)
def test_nothing_to_answer_is_a_bad_request(messages: list[dict[str, Any]]) -> None:
    chat = decode_request({"model": "m", "messages": messages})
    with pytest.raises(BadRequest) as caught:
        encode_request(chat, model="gemini-2.5-flash")
    assert caught.value.param == "messages"


class TestNames:
    def test_are_restored_in_replies(self) -> None:
        tools = tuple(Tool(name, "d") for name in ("1st", "a.b", "a_b", "über", "x" * 80))
        request = encode_request(chat_of(*HELLO, tools=tools), model="gemini-2.5-flash")
        declared = judged("gemini-2.5-flash", request)["tools"][0]["functionDeclarations"]
        assert [request.original_names[each["name"]] for each in declared] == [tool.name for tool in tools]

    def test_of_past_calls_only_are_restored_too(self) -> None:
        request = encode_request(chat_of(*HELLO, called(name="old.tool"), answered()), model="gemini-2.5-flash")
        assert request.original_names == {"old_tool": "old.tool"}

    def test_that_are_allowed_stay_whatever_stands_before_them(self) -> None:
        tools = (Tool("a.b", "d"), Tool("a b", "d"), Tool("a_b", "d"), Tool("a_b_2", "d"))
        declared = encoded(chat_of(tools=tools))["tools"][0]["functionDeclarations"]
        assert [each["name"] for each in declared] == ["a_b_3", "a_b_4", "a_b", "a_b_2"]

    def test_of_64_characters_are_kept_and_longer_ones_cut_apart(self) -> None:
        tools = (Tool("x" * 64, "d"), Tool("x" * 65, "d"), Tool("x" * 66, "d"))
        declared = encoded(chat_of(tools=tools))["tools"][0]["functionDeclarations"]
        assert [each["name"] for each in declared] == ["x" * 64, "x" * 62 + "_2", "x" * 62 + "_3"]

    def test_may_consist_of_nothing_that_is_allowed(self) -> None:
        tools = (Tool("天气", "d"), Tool("时间", "d"))
        declared = encoded(chat_of(tools=tools))["tools"][0]["functionDeclarations"]
        assert [each["name"] for each in declared] == ["__", "___2"]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice("auto"), None),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("required", ("look",)), {"mode": "ANY", "allowedFunctionNames": ["look"]}),
        (ToolChoice("required", ("a.b", "look")), {"mode": "ANY", "allowedFunctionNames": ["a_b", "look"]}),
        (ToolChoice("auto", ("look",)), {"mode": "VALIDATED", "allowedFunctionNames": ["look"]}),
    ],
    ids=str,
)
def test_tool_choice(choice: ToolChoice, config: dict[str, Any] | None) -> None:
    body = encoded(chat_of(tools=(Tool("look", "d"), Tool("a.b", "d")), choice=choice))
    assert body.get("toolConfig", {}).get("functionCallingConfig") == config


def test_tool_choice_without_tools_is_left_out() -> None:
    assert encoded(chat_of(choice=ToolChoice("none"))).keys() == {"contents"}


def test_unset_fields_are_left_out() -> None:
    assert encoded(chat_of()) == {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]}


def test_refused_schema_keywords_are_dropped_for_that_tool_only() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "date"}}, "required": ["at"]}
    tools = (Tool("a", "d", schema), Tool("b", "d", schema))
    body = encoded(chat_of(tools=tools), dropped={"b": frozenset({"format"})})
    first, second = (each["parametersJsonSchema"] for each in body["tools"][0]["functionDeclarations"])
    assert first == schema
    assert second == {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}


class TestFiles:
    @staticmethod
    def sent(file: AttachmentPart, model: str = "gemini-3-flash-preview") -> dict[str, Any]:
        (part,) = encoded(chat_of(Message("user", (file,))), model)["contents"][0]["parts"]
        return dict(part)

    def test_held_inline(self) -> None:
        assert self.sent(AttachmentPart("image/png", PNG)) == {"inlineData": {"mimeType": "image/png", "data": PNG}}

    def test_by_address(self) -> None:
        url = "https://example.com/a.png"
        assert self.sent(AttachmentPart("image/png", url=url)) == {
            "fileData": {"mimeType": "image/png", "fileUri": url}
        }

    @pytest.mark.parametrize("url", ["https://example.com/a", "https://www.youtube.com/watch?v=abc"])
    def test_of_unknown_type_are_sent_without_one(self, url: str) -> None:
        assert self.sent(AttachmentPart("", url=url)) == {"fileData": {"fileUri": url}}

    def test_quicktime_by_address_has_the_name_of_that_list(self) -> None:
        sent = self.sent(AttachmentPart("video/mov", url="https://example.com/a.mov"))
        assert sent["fileData"]["mimeType"] == "video/quicktime"

    @pytest.mark.parametrize("model", MODELS)
    def test_in_results_stand_beside_them(self, model: str) -> None:
        file = AttachmentPart("", url="https://example.com/a")
        result = Message("tool", (ToolResultPart("c1", "", (TextPart("done"), file)),))
        *_, results, files = encoded(chat_of(*HELLO, called(), result), model)["contents"]
        assert results["parts"][0]["functionResponse"]["response"] == {"output": "done"}
        assert files["parts"] == [{"fileData": {"fileUri": file.url}}]


@pytest.mark.parametrize(("is_error", "key"), [(False, "output"), (True, "error")])
def test_result_says_whether_the_tool_failed(is_error: bool, key: str) -> None:
    result = Message("tool", (ToolResultPart("c1", "", (TextPart("no such file"),), is_error=is_error),))
    *_, results = encoded(chat_of(*HELLO, called(), result))["contents"]
    assert results["parts"][0]["functionResponse"]["response"] == {key: "no such file"}


class TestWebSearch:
    def test_is_googles(self) -> None:
        request = encode_request(ChatRequest("m", HELLO, web_search=("web_search_options",)), model="gemini-2.5-flash")
        assert judged("gemini-2.5-flash", request)["tools"] == [{"googleSearch": {}}]
        assert request.used == {"web_search"}
        assert request.ignored == ()

    @pytest.mark.parametrize("model", MODELS)
    def test_beside_functions_is_left_out_and_listed(self, model: str) -> None:
        chat = ChatRequest("m", HELLO, tools=(Tool("look", "d"),), web_search=("web_search_options", "tools[1]"))
        request = encode_request(chat, model=model)
        (tool,) = judged(model, request)["tools"]
        assert tool.keys() == {"functionDeclarations"}
        assert request.ignored == ("web_search_options", "tools[1]")

    def test_that_was_refused_is_left_out_and_listed(self) -> None:
        chat = ChatRequest("m", HELLO, web_search=("tools[0]",))
        request = encode_request(chat, model="gemma-3-27b-it", without=frozenset({"web_search"}))
        assert "tools" not in judged("gemma-3-27b-it", request)
        assert request.ignored == ("tools[0]",)


class TestInstructions:
    GEMMA = "gemma-3-27b-it"
    SYSTEM = Message("system", (TextPart("Be brief."),))

    def without_system(self, *messages: Message) -> list[dict[str, Any]]:
        body = encoded(chat_of(*messages), self.GEMMA, without=frozenset({"system"}))
        assert "systemInstruction" not in body
        return list(body["contents"])

    def test_are_a_setting_that_may_be_refused(self) -> None:
        assert "system" in encode_request(chat_of(self.SYSTEM, *HELLO), model=self.GEMMA).used

    def test_none_are_none(self) -> None:
        assert "system" not in encode_request(chat_of(*HELLO), model=self.GEMMA).used

    def test_that_were_refused_begin_the_first_turn(self) -> None:
        assert self.without_system(self.SYSTEM, *HELLO) == [
            {"role": "user", "parts": [{"text": "Be brief."}, {"text": "Hello."}]}
        ]

    def test_that_were_refused_keep_the_turns_apart(self) -> None:
        said = Message("assistant", (TextPart("Hi."),))
        contents = self.without_system(*HELLO, said, self.SYSTEM, *HELLO)
        assert [content["role"] for content in contents] == ["user", "model", "user"]
        assert contents[0]["parts"][0] == {"text": "Be brief."}

    def test_that_were_refused_do_not_hide_a_call_without_a_signature(self) -> None:
        """The turn that begins with them is the user's own, so the calls after it still need theirs."""
        chat = chat_of(self.SYSTEM, *HELLO, called(), answered())
        body = encoded(chat, "gemini-3-flash-preview", without=frozenset({"system"}))
        assert body["contents"][1]["parts"][0]["thoughtSignature"] == DUMMY_SIGNATURE

    def test_of_our_own_are_told_too_where_there_is_no_field_for_them(self) -> None:
        chat = ChatRequest("m", HELLO, json_format=JsonFormat())
        request = encode_request(chat, model=self.GEMMA, without=frozenset({"system"}))
        first, second = judged(self.GEMMA, request)["contents"][0]["parts"]
        assert "JSON" in first["text"]
        assert second == {"text": "Hello."}

    def test_alone_with_instructions_of_our_own_are_one_user_turn(self) -> None:
        request = encode_request(ChatRequest("m", (self.SYSTEM,), json_format=JsonFormat()), model=self.GEMMA)
        (content,) = judged(self.GEMMA, request)["contents"]
        assert [len(part["text"]) > 0 for part in content["parts"]] == [True, True]
        assert "system" not in request.used


def test_everything_ignored_is_told_once_and_in_order() -> None:
    chat = ChatRequest(
        "m",
        HELLO,
        tools=(Tool("look", "d"),),
        json_format=JsonFormat(),
        web_search=("web_search_options",),
        sampling=Sampling(presence_penalty=1.0),
    )
    request = encode_request(chat, model="gemini-2.5-flash", without=frozenset({"penalties"}))
    assert request.ignored == ("presence_penalty", "response_format", "web_search_options")


class TestSignatures:
    @staticmethod
    def of_last_call(model: str, signature: str | None = None, **options: Any) -> str | None:
        chat = chat_of(*HELLO, called(signature=signature), answered())
        part = encoded(chat, model, **options)["contents"][1]["parts"][0]
        assert "functionCall" in part
        given: str | None = part.get("thoughtSignature")
        return given

    @pytest.mark.parametrize(
        "model", ["gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-4-argon", "gemini-pro-latest"]
    )
    def test_dummy_from_family_3_on(self, model: str) -> None:
        assert self.of_last_call(model) == DUMMY_SIGNATURE

    @pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-3-pro-image"])
    def test_no_dummy_where_none_is_demanded(self, model: str) -> None:
        assert self.of_last_call(model) is None

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("signature", [SIGNATURE, "-_-_", "+/+/", "AAA=", "QUI"])
    def test_real_one_is_kept(self, model: str, signature: str) -> None:
        assert self.of_last_call(model, signature) == signature

    @pytest.mark.parametrize("signature", ["not base64!", "A", "é", "=QUJ", "QU\nJD", DUMMY_SIGNATURE])
    def test_what_cannot_be_one_is_replaced(self, signature: str) -> None:
        assert self.of_last_call("gemini-3-flash-preview", signature) == DUMMY_SIGNATURE
        assert self.of_last_call("gemini-2.5-flash", signature) is None

    def test_refused_ones_are_replaced(self) -> None:
        assert self.of_last_call("gemini-3-flash-preview", SIGNATURE, keep_signatures=False) == DUMMY_SIGNATURE
        assert self.of_last_call("gemini-2.5-flash", SIGNATURE, keep_signatures=False) is None

    def test_refused_ones_of_text_are_dropped(self) -> None:
        said = Message("assistant", (TextPart("Hi.", {"google": {"thought_signature": SIGNATURE}}),))
        alone = Message("assistant", (TextPart("", {"google": {"thought_signature": SIGNATURE}}),))
        body = encoded(chat_of(*HELLO, said, *HELLO, alone, *HELLO), "gemini-3-flash-preview", keep_signatures=False)
        assert [content["parts"] for content in body["contents"] if content["role"] == "model"] == [[{"text": "Hi."}]]

    def test_metadata_of_another_vendor_is_no_signature(self) -> None:
        call = Message("assistant", (ToolCallPart("c1", "look", {}, {"other": {"thought_signature": SIGNATURE}}),))
        body = encoded(chat_of(*HELLO, call, answered()))
        assert "thoughtSignature" not in body["contents"][1]["parts"][0]


# Any conversation that a client may send: what is accepted must be a request that Gemini takes.

_words = st.text(st.characters(codec="utf-8"), max_size=6)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_words | st.sampled_from(["$ref", "$defs", "type", "properties"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_names = st.sampled_from(["f", "look", "1st", "a.b", "a_b", "x" * 80, "x" * 79 + "y", "-dash", "ns/tool"]) | st.text(
    st.characters(codec="utf-8"), min_size=1, max_size=4
)
_ids = st.sampled_from(["c1", "c2", "c3", "", None])
_signatures = st.sampled_from(
    [None, "QUJD", "AAA_-w==", "not base64!", DUMMY_SIGNATURE, "", "A", "é", "QUJD=", "QU=JD"]
)
_arguments = (
    st.sampled_from(["", "{}", '{"at":1}', "[1]", '"{}"', "nope", '{"at":NaN}', '{"at":1e999}', '{"at":"\\ud800"}'])
    | _json
    | _json.map(json.dumps)
)
_text_parts = st.builds(lambda text: {"type": "text", "text": text}, _words)
_images = st.just({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
_results = _words | st.none() | st.lists(_text_parts | _images, max_size=2) | _json.map(json.dumps)


def _extra(signature: str | None) -> dict[str, Any]:
    return {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}


def _call(call_id: str | None, name: str, arguments: Any, signature: str | None) -> dict[str, Any]:
    identity = {} if call_id is None else {"id": call_id}
    return {**identity, "type": "function", "function": {"name": name, "arguments": arguments}, **_extra(signature)}


def _assistant(
    content: Any, calls: list[dict[str, Any]], signature: str | None, thoughts: str, older: str | None
) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "reasoning_content": thoughts, **_extra(signature)}
    if calls:
        message["tool_calls"] = calls
    if older:
        message["function_call"] = {"name": older, "arguments": "{}"}
    return message


_calls = st.builds(_call, _ids, _names, _arguments, _signatures) | st.builds(
    lambda call_id, name, text: {"id": call_id, "type": "custom", "custom": {"name": name, "input": text}},
    _ids,
    _names,
    _words,
)
_assistants = st.builds(
    _assistant,
    st.none() | _words | st.lists(_text_parts, max_size=2),
    st.lists(_calls, max_size=3),
    _signatures,
    _words,
    st.none() | st.none() | _names,
)
_users = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "user", "system", "developer"]), _words
) | st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(_text_parts | _images, max_size=2))
_tool_results = st.builds(
    lambda call_id, content: {"role": "tool", "tool_call_id": call_id or "", "content": content}, _ids, _results
) | st.builds(lambda name, content: {"role": "function", "name": name, "content": content}, _names, _results)


@st.composite
def _steps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls and their results in any order, with what may come between them; each result is there most of the time."""
    calls = draw(st.lists(_calls, min_size=1, max_size=3))
    results = [
        {"role": "tool", "tool_call_id": call.get("id") or "", "content": draw(_results)}
        for call in calls
        if draw(st.integers(0, 5))
    ]
    between = draw(st.lists(_users | _tool_results, max_size=1))
    message = _assistant(draw(st.none() | _words), calls, draw(_signatures), "", None)
    return [message, *draw(st.permutations(results + between))]


_messages = (
    st.lists(st.one_of(_steps(), _steps(), st.builds(lambda message: [message], _users | _assistants | _tool_results)))
    .map(lambda scenes: [message for scene in scenes for message in scene])
    .filter(bool)
)
_schemas = (
    st.none() | _json | st.sampled_from([{"type": "object", "properties": {"a": {"type": "string"}}}, {"$ref": "#"}])
)
_tools = st.lists(
    st.builds(
        lambda name, description, schema: {
            "type": "function",
            "function": {"name": name, "description": description, "parameters": schema},
        },
        _names,
        _words | st.none() | st.just(" "),
        _schemas,
    ),
    max_size=3,
)
_bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": _messages},
    optional={
        "tools": _tools,
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "stop": st.lists(_words, max_size=5) | _words,
        "seed": st.integers(-(2**63), 2**63 - 1),
        "max_tokens": st.integers(1, 2**31 - 1),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "parallel_tool_calls": st.booleans(),
        "web_search_options": st.just({}),
        "response_format": st.just({"type": "json_object"})
        | _schemas.filter(lambda schema: isinstance(schema, dict)).map(
            lambda schema: {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        ),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_bodies)
def test_gemini_takes_whatever_a_client_may_say(body: dict[str, Any]) -> None:
    try:
        chat = decode_request(decode_object(json.dumps(body).encode()))
        requests = {model: encode_request(chat, model=model) for model in (*MODELS, "gemini-3.1-flash-image")}
    except BadRequest:
        return
    for model, request in requests.items():
        judged(model, request)

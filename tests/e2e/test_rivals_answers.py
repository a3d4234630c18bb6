"""What other gateways get wrong in answers, asked of every protocol, streamed and whole.

The numbers are those of the defects seen in other gateways.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.conversation.talk import CONVERSING, HI, PROTOCOLS, Talk
from tests.conversation.turn import Call, JsonObject, Result, Tokens, Tool
from tests.e2e.conftest import Agproxy
from tests.fake_google import (
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    blocked,
    calls,
    chunk,
    empty,
    finished,
    parts,
    text,
    thoughts,
)
from tests.fake_google.script import Chunk
from tests.tongues import TONGUES, objects, post, told

MAPPED = tuple(protocol for protocol in PROTOCOLS if protocol != "gemini")
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
AT_A, AT_B = Call("look", {"at": "a"}, id=""), Call("look", {"at": "b"}, id="")

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
each_conversing = pytest.mark.parametrize("protocol", CONVERSING)
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

TalkTo = Callable[[str], Talk]


@pytest.fixture
def talk_to(agproxy: Agproxy, google: FakeGoogle) -> Iterator[TalkTo]:
    """Makes conversations in a protocol."""
    with ExitStack() as stack:
        yield lambda protocol: stack.enter_context(closing(Talk(agproxy.url, protocol, google)))


# Texts.


@both
@each_protocol
def test_1_13_all_texts_of_a_chunk_are_heard(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    google.enqueue(
        chunk({"text": "One. "}, {"text": "Two. "}) + chunk({"text": "Three. "}, {"text": "Four."}, finish="STOP")
    )
    assert talk_to(protocol).say(streamed=streamed).text == "One. Two. Three. Four."


@both
@each_conversing
def test_1_text_beside_a_call_in_one_chunk_is_heard(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    call = {"functionCall": {"id": "c1", "name": "look", "args": {"at": "a"}}}
    google.enqueue(chunk({"text": "Let "}, {"text": "me see."}, call, finish="STOP"))
    heard = talk_to(protocol).say(streamed=streamed, tools=(LOOK,))
    assert (heard.text, heard.calls) == ("Let me see.", (AT_A,))


@both
@each_protocol
@pytest.mark.parametrize("words", ["<think>Hm.</think> Yes.", "a <thought> b", "</think>", "<thinking>\nx"])
def test_6_tags_in_ordinary_text_stay(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, words: str, streamed: bool
) -> None:
    google.enqueue(text(words[:4], words[4:]))
    heard = talk_to(protocol).say(streamed=streamed)
    assert (heard.text, heard.reasoning) == (words, "")


@both
@each_protocol
def test_thoughts_do_not_leak_into_the_text(talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool) -> None:
    google.enqueue(thoughts("You are a cook. ", "Hm.") + text("Yes."))
    assert talk_to(protocol).say(streamed=streamed).text == "Yes."


@both
@each_protocol
def test_13_line_of_more_than_64_kb_passes(talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool) -> None:
    words = "é" * 70_000
    google.enqueue(text(words, "!").delivered(split_writes=60_001))
    assert talk_to(protocol).say(streamed=streamed).text == words + "!"


# Why it ended.

ENDS: dict[str, dict[str, tuple[str, ...]]] = {
    "MAX_TOKENS": {
        "chat": ("length",),
        "completions": ("length",),
        "responses": ("incomplete", "max_output_tokens"),
        "messages": ("max_tokens",),
        "gemini": ("MAX_TOKENS",),
    },
    "RECITATION": {
        "chat": ("content_filter",),
        "completions": ("content_filter",),
        "responses": ("incomplete", "content_filter"),
        "messages": ("refusal",),
        "gemini": ("RECITATION",),
    },
    "STOP": {
        "chat": ("stop",),
        "completions": ("stop",),
        "responses": ("completed",),
        "messages": ("end_turn",),
        "gemini": ("STOP",),
    },
}
_A_CALL = re.compile(r'"type": ?"(tool_use|function_call)"|"tool_calls": ?\[|"functionCall"')


@both
@each_protocol
@pytest.mark.parametrize("reason", ENDS)
def test_2_12_reason_is_spelled_as_the_protocol_does(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, reason: str, streamed: bool
) -> None:
    google.enqueue(text("One, ", "two", finish=reason))
    response = post(agproxy.url, protocol, HI, streamed=streamed)
    assert TONGUES[protocol].end(objects(response.content, streamed=streamed)) == ENDS[reason][protocol]
    assert not _A_CALL.search(response.text)


@both
@each_protocol
@pytest.mark.parametrize("answer", [finished("RECITATION"), blocked("SAFETY")], ids=["answer", "prompt"])
def test_12_refusal_is_neither_a_call_nor_a_success(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, answer: Answer, streamed: bool
) -> None:
    google.enqueue(answer)
    response = post(agproxy.url, protocol, HI, streamed=streamed, tools=[LOOK] if protocol in CONVERSING else [])
    ends = TONGUES[protocol].end(objects(response.content, streamed=streamed))
    if protocol == "gemini" and "promptFeedback" in response.text:
        assert ends == ()  # a prompt that is refused has no candidate
    else:
        assert ends == ENDS["RECITATION"][protocol]
    assert not _A_CALL.search(response.text)
    assert len(google.requests) == 1


@both
@each_conversing
@pytest.mark.parametrize("before", ["", "Let me see."], ids=["alone", "after text"])
@pytest.mark.parametrize("tail", [False, True], ids=["with its finishReason", "with an empty tail"])
def test_answer_with_a_call_ends_for_the_call(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, before: str, tail: bool, streamed: bool
) -> None:
    call = calls(("look", {"at": "a"}), tail=tail)
    google.enqueue(text(before) + call if before else call)
    heard = talk_to(protocol).say(streamed=streamed, tools=(LOOK,))
    assert (heard.text, heard.calls, heard.finish) == (before, (AT_A,), "tool_calls")


@both
@each_conversing
def test_call_at_the_limit_ends_for_the_limit(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    google.enqueue(calls(("look", {"at": "a"}), finish="MAX_TOKENS"))
    heard = talk_to(protocol).say(streamed=streamed, tools=(LOOK,))
    assert (heard.calls, heard.finish) == ((AT_A,), "length")


# Nothing at all.


@both
@each_protocol
@pytest.mark.parametrize("kind", ["no_parts", "no_candidates", "empty_text"])
def test_empty_answer_is_asked_for_once_more(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, kind: str, streamed: bool
) -> None:
    google.enqueue(empty(kind), text("Better."))  # type: ignore[arg-type]
    assert talk_to(protocol).say(streamed=streamed).text == "Better."
    assert len(google.requests) == 2


@both
@pytest.mark.parametrize("protocol", MAPPED)
def test_answer_that_stays_empty_is_an_error(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    google.enqueue(empty("no_parts"), empty("no_parts"))
    response = post(agproxy.url, protocol, HI, streamed=streamed)
    assert response.status_code == 502
    assert "STOP" in response.json()["error"]["message"]


# Calls.


@both
@each_conversing
@pytest.mark.parametrize("split", [False, True], ids=["one chunk", "a chunk each"])
def test_5_equal_calls_are_two_calls(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, split: bool, streamed: bool
) -> None:
    google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "a"}), ("look", {"at": "b"}), split=split), text("So."))
    talk = talk_to(protocol)
    heard = talk.say(streamed=streamed, tools=(LOOK,))
    assert heard.calls == (AT_A, AT_A, AT_B)
    assert len({call.id for call in heard.calls}) == 3
    talk.say(*(Result(call, str(number)) for number, call in enumerate(heard.calls)), streamed=streamed, tools=(LOOK,))
    outputs = [result["response"]["output"] for result in google.requests[-1].results]
    assert outputs == ["0", "1", "2"]


@both
@each_conversing
@pytest.mark.parametrize("name", ["Bash", "mcp__Files__Read_File", "default_api", "LOOK-at_2"])
def test_names_of_tools_come_back_letter_by_letter(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, name: str, streamed: bool
) -> None:
    google.enqueue(calls((name, {}), ("look", {})))
    heard = talk_to(protocol).say(streamed=streamed, tools=(LOOK, Tool(name, "d", {"type": "object"})))
    assert [call.name for call in heard.calls] == [name, "look"]
    assert google.requests[0].tool_names == ["look", name]


@both
@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
@pytest.mark.parametrize("name", ["1st-tool", "-dash", "x" * 80])
def test_names_that_gemini_refuses_come_back_letter_by_letter(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, name: str, streamed: bool
) -> None:
    def calling(request: RecordedRequest) -> Answer:
        return calls((request.tool_names[1], {"at": "a"}))

    google.enqueue(calling, text("So."))
    talk, tools = talk_to(protocol), (LOOK, Tool(name, "d", LOOK.parameters))
    (call,) = talk.say(streamed=streamed, tools=tools).calls
    assert call.name == name
    talk.say(Result(call, "done"), streamed=streamed, tools=tools)
    called, returned = (request.tool_names[1] for request in google.requests)
    assert called == returned == google.requests[1].results[0]["name"] != name


@both
@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
@pytest.mark.parametrize("arguments", [{"args": None}, {"args": {}}, {}], ids=["null", "empty", "none"])
def test_call_without_arguments_has_an_empty_object(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, arguments: JsonObject, streamed: bool
) -> None:
    google.enqueue(parts({"functionCall": {"id": "c1", "name": "look", **arguments}}))
    (call,) = talk_to(protocol).say(streamed=streamed, tools=(LOOK,)).calls
    assert call.arguments == {}


@both
@each_conversing
def test_argument_that_is_missing_is_not_made_up(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    google.enqueue(calls(("look", {"by": None, "at\u2028": 9007199254740991})))
    demanding = Tool("look", "Looks.", {**LOOK.parameters, "required": ["at"]})
    (call,) = talk_to(protocol).say(streamed=streamed, tools=(demanding,)).calls
    assert call.arguments == {"by": None, "at\u2028": 9007199254740991}


# Usage and ids.


@both
@each_protocol
@pytest.mark.parametrize(
    ("counts", "tokens"),
    [
        (Usage(prompt=20, candidates=198, thoughts=405), Tokens(20, 603, 0, 405)),
        (Usage(prompt=100, candidates=5, cached=40), Tokens(100, 5, 40)),
        (Usage(prompt=100, candidates=0, thoughts=50), Tokens(100, 50, 0, 50)),
    ],
    ids=["8-thoughts are counted", "cached ones are part of the prompt", "11-nothing but thoughts is counted"],
)
def test_8_11_usage_adds_up(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, counts: Usage, tokens: Tokens, streamed: bool
) -> None:
    google.enqueue(text("One, ", "two.", usage=counts))
    assert talk_to(protocol).say(streamed=streamed).usage == tokens


@both
@pytest.mark.parametrize("protocol", MAPPED)
def test_usage_is_there_even_if_gemini_counts_nothing(
    talk_to: TalkTo, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": "Hi."}]}, "finishReason": "STOP"}
    google.enqueue(Answer((Chunk(response={"candidates": [candidate]}, has_candidate=False, bare=True),)))
    heard = talk_to(protocol).say(streamed=streamed)
    assert (heard.text, heard.usage) == ("Hi.", Tokens(0, 0))


@both
@each_protocol
def test_13_answer_has_one_id_and_no_other_has_it(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    google.default = text("One, ", "two, ", "three")
    ids = [TONGUES[protocol].ids(told(agproxy.url, protocol, HI, streamed=streamed)) for _ in range(3)]
    assert all(len(set(of_one)) == 1 and of_one[0] for of_one in ids)
    assert len({of_one[0] for of_one in ids}) == 3

"""``input`` of Responses: messages, calls and their results, and what is refused by its place."""

import base64
import json

import pytest

from agproxy.chat import AttachmentPart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from agproxy.errors import BadRequest
from agproxy.protocols.openai_responses_items import decode_items
from tests.chat_bodies import PDF, PNG, Json

SIGNED = {"google": {"thought_signature": "QUJD"}}
LINK = "https://example.com/cat.png"
PICTURE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}


def decoded(*values: Json) -> tuple[list[Message], list[str]]:
    """The messages that the items are, and what of them is ignored; tools of a namespace are known as ``ns/name``."""
    ignored: list[str] = []
    items = [(f"input[{position}]", value) for position, value in enumerate(values)]
    messages = decode_items(items, lambda name, namespace: f"{namespace}/{name}" if namespace else name, ignored)
    return messages, ignored


def message(value: Json) -> Message:
    """The message that an item is, of which nothing is ignored."""
    (found,), ignored = decoded(value)
    assert ignored == []
    return found


def asked(*parts: Json) -> tuple[Part, ...]:
    return message({"role": "user", "content": list(parts)}).parts


def call(call_id: str = "a", name: str = "look", arguments: Json = "{}", **others: Json) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **others}


def result(output: Json, **others: Json) -> tuple[Part, ...]:
    (part,) = message({"type": "function_call_output", "call_id": "a", "output": output, **others}).parts
    assert isinstance(part, ToolResultPart)
    assert (part.id, part.name) == ("a", "")
    return part.parts


def refused(value: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decoded({"role": "user", "content": "Hi"}, value)
    assert (caught.value.param or "").startswith("input[1]")
    assert caught.value.message
    return caught.value


# Messages.


@pytest.mark.parametrize("typed", [{"type": "message"}, {}])
@pytest.mark.parametrize(
    ("role", "known"), [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant")]
)
def test_message_with_and_without_type(typed: Json, role: str, known: str) -> None:
    assert message({**typed, "role": role, "content": "x"}) == Message(known, (TextPart("x"),))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_content_is_a_string_or_parts(role: str) -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": ""}, {"type": "text", "text": "b"}]
    assert message({"role": role, "content": parts}).parts == (TextPart("a"), TextPart("b"))
    assert message({"role": role, "content": ""}).parts == ()
    assert message({"role": role, "content": []}).parts == ()
    assert message({"role": role, "content": ["a", "b"]}).parts == (TextPart("a"), TextPart("b"))


def test_order_of_items_is_kept() -> None:
    messages, _ = decoded(
        {"role": "developer", "content": "s"},
        {"role": "user", "content": "a"},
        call(),
        {"type": "function_call_output", "call_id": "a", "output": "done"},
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "c"},
    )
    assert [each.role for each in messages] == ["system", "user", "assistant", "tool", "assistant", "system"]


@pytest.mark.parametrize("others", [{}, {"id": "msg_1", "status": "completed", "type": "message"}, {"id": None}])
@pytest.mark.parametrize(
    "extra", [{}, {"annotations": []}, {"annotations": [{"type": "url_citation"}], "logprobs": []}]
)
def test_message_of_the_model_as_it_was_given_or_without_ids(others: Json, extra: Json) -> None:
    content = [{"type": "output_text", "text": "Hi", **extra}]
    assert message({"role": "assistant", "content": content, **others}).parts == (TextPart("Hi"),)


@pytest.mark.parametrize("phase", ["commentary", "final_answer", None])
def test_phase_of_a_message_says_nothing_to_the_model(phase: Json) -> None:
    assert message({"role": "assistant", "content": "Hi", "phase": phase}).parts == (TextPart("Hi"),)


def test_refusal_of_the_past_is_kept() -> None:
    content = [{"type": "output_text", "text": "Well"}, {"type": "refusal", "refusal": "No."}]
    assert message({"role": "assistant", "content": content}).parts == (TextPart("Well"), TextPart("No."))


def test_signature_of_a_message_goes_to_its_last_text() -> None:
    content = [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]
    found = message({"role": "assistant", "content": content, "extra_content": SIGNED})
    assert found.parts == (TextPart("a"), TextPart("b", SIGNED))


def test_unknown_field_of_a_message_is_listed() -> None:
    _, ignored = decoded({"role": "user", "content": [{"type": "input_text", "text": "a", "x": 1}], "name": "bob"})
    assert ignored == ["input[].name", "input[].content[].x"]


@pytest.mark.parametrize(
    "others",
    [{"image_url": f"data:image/png;base64,{PNG}"}, {"image_url": {"url": f"data:image/png;base64,{PNG}"}}],
)
@pytest.mark.parametrize("detail", [{}, {"detail": "auto"}, {"detail": None}])
def test_image_may_be_inline(others: Json, detail: Json) -> None:
    assert asked({"type": "input_image", **others, **detail}) == (AttachmentPart("image/png", PNG),)


def test_image_may_be_a_public_address() -> None:
    assert asked({"type": "input_image", "image_url": LINK}) == (AttachmentPart("image/png", url=LINK),)


@pytest.mark.parametrize("detail", ["low", "high", "original"])
def test_detail_of_an_image_is_listed(detail: str) -> None:
    _, ignored = decoded({"role": "user", "content": [{**PICTURE, "detail": detail}]})
    assert ignored == ["image_url.detail"]


def test_file_may_be_inline_with_its_name() -> None:
    part = {"type": "input_file", "filename": "part-1.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    assert asked(part) == (AttachmentPart("application/pdf", PDF),)
    text = base64.b64encode(b"print(1)").decode()
    assert asked({"type": "input_file", "filename": "a.py", "file_data": text}) == (AttachmentPart("text/plain", text),)


def test_file_may_be_a_public_address() -> None:
    url = "https://example.com/a.pdf"
    assert asked({"type": "input_file", "file_url": url}) == (AttachmentPart("application/pdf", url=url),)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "file_id": "file-1"}, "file_id"),
        ({"type": "input_image", "image_url": None, "file_id": "file-1"}, "file_id"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": "http://localhost/a.png"}, "image_url"),
        ({"type": "input_file", "file_id": "file-1"}, "file_id"),
        ({"type": "input_file", "filename": "a.pdf"}, "file_data"),
        ({"type": "input_audio"}, "input_audio"),
        ({"type": "nonsense"}, "type"),
        ({"text": "a"}, "type"),
        ({"type": "input_text"}, "text"),
        (5, ""),
    ],
)
def test_part_that_cannot_be_taken_is_named(part: Json, param: str) -> None:
    error = refused({"role": "user", "content": [part]})
    assert error.param == f"input[1].content[0]{f'.{param}' if param else ''}"


def test_file_that_was_uploaded_elsewhere_is_refused_with_what_to_do() -> None:
    error = refused({"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]})
    assert "agproxy stores none" in error.message
    assert "data:image/png;base64," in error.message


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_are_text_only(role: str) -> None:
    assert refused({"role": role, "content": [PICTURE]}).param == "input[1].content[0].type"


NO_OBJECTS: list[Json] = [None, 5, "Hi", True, []]
UNTYPED: list[Json] = [{}, {"type": 5}, {"type": []}, {"content": "Hi"}, {"type": "nonsense"}]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        *((value, "") for value in NO_OBJECTS),
        *((value, ".type") for value in UNTYPED),
        ({"type": "message"}, ".role"),
        ({"role": "judge", "content": "Hi"}, ".role"),
        ({"role": "user"}, ".content"),
        ({"role": "user", "content": {"a": 1}}, ".content"),
    ],
)
def test_what_is_no_item_is_refused_by_its_place(value: Json, param: str) -> None:
    error = refused(value)
    assert error.param == f"input[1]{param}"
    assert error.code in ("invalid_type", "missing_required_parameter", None)
    assert (error.code is None) == (value == UNTYPED[-1] or param == ".role")


# Calls and results.


def test_function_call() -> None:
    found = message(call(arguments='{"at": "sky"}', id="fc_1", status="completed"))
    assert found == Message("assistant", (ToolCallPart("a", "look", {"at": "sky"}),))


@pytest.mark.parametrize(
    ("written", "arguments"),
    [("", {}), (None, {}), ("{", {"input": "{"}), ("[1]", {"input": [1]}), ({"at": 1}, {"at": 1}), ('"{}"', {})],
)
def test_arguments_of_a_past_call_are_an_object_whatever_was_kept(written: Json, arguments: Json) -> None:
    assert message(call(arguments=written)).parts == (ToolCallPart("a", "look", arguments),)


def test_custom_tool_call_holds_its_input_whole() -> None:
    custom = {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": '{"*** Begin'}
    assert message(custom).parts == (ToolCallPart("a", "patch", {"input": '{"*** Begin'}),)
    assert message({**custom, "input": None}).parts == (ToolCallPart("a", "patch", {"input": ""}),)


def test_call_of_a_tool_of_a_namespace_has_the_name_that_the_model_knows() -> None:
    (part,) = message(call(namespace="clock")).parts
    assert isinstance(part, ToolCallPart)
    assert part.name == "clock/look"
    custom = {"type": "custom_tool_call", "call_id": "a", "name": "set", "input": "x", "namespace": "clock"}
    assert message(custom).parts == (ToolCallPart("a", "clock/set", {"input": "x"}),)


@pytest.mark.parametrize(
    ("others", "param"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"call_id": None}, "call_id"),
        ({"call_id": ""}, "call_id"),
        ({"call_id": 5}, "call_id"),
        ({"namespace": 5}, "namespace"),
        ({"type": "custom_tool_call", "input": 5}, "input"),
    ],
)
def test_call_without_name_or_id_is_refused(others: Json, param: str) -> None:
    assert refused(call(**{"id": "fc_1", **others})).param == f"input[1].{param}"


@pytest.mark.parametrize("kind", ["function_call_output", "custom_tool_call_output"])
def test_result_is_a_text(kind: str) -> None:
    item = {"type": kind, "call_id": "a", "id": "fco_1", "status": "completed", "output": "sunny"}
    assert message(item) == Message("tool", (ToolResultPart("a", "", (TextPart("sunny"),)),))


@pytest.mark.parametrize("output", ["", None])
def test_result_may_be_empty(output: Json) -> None:
    assert result(output) == ()


def test_result_may_be_parts_with_images_and_files() -> None:
    file = {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}"}
    output = [{"type": "input_text", "text": "here"}, PICTURE, {"type": "output_text", "text": "x"}, file]
    assert result(output) == (
        TextPart("here"),
        AttachmentPart("image/png", PNG),
        TextPart("x"),
        AttachmentPart("application/pdf", PDF),
    )


def test_detail_of_an_image_in_a_result_is_listed() -> None:
    output = [{**PICTURE, "detail": "original", "x": 1}]
    _, ignored = decoded({"type": "function_call_output", "call_id": "a", "output": output})
    assert ignored == ["input[].output[].x", "image_url.detail"]


@pytest.mark.parametrize(
    "output",
    [
        *({"a": 1}, [], [1, "a"], ["a"], 5, 0, False, [{"a": 1}], [{"type": "x"}], [{"type": 5}]),
        *(
            {"type": "input_text"},
            [{"type": "file", "name": "a.py"}],
            [{"type": "text"}],
            [{"type": "image_url", "n": 1}],
        ),
    ],
)
def test_result_may_be_any_json_which_the_model_reads_as_text(output: Json) -> None:
    (part,) = result(output)
    assert isinstance(part, TextPart)
    assert json.loads(part.text) == output


def test_result_may_be_parts_as_chat_completions_have_them() -> None:
    picture = {"type": "image_url", "image_url": {"url": LINK}}
    assert result([{"type": "text", "text": "here"}, picture]) == (
        TextPart("here"),
        AttachmentPart("image/png", url=LINK),
    )


def test_result_in_which_not_all_are_parts_is_read_as_text() -> None:
    (part,) = result([{"type": "input_text", "text": "a"}, {"a": "ü"}])
    assert part == TextPart('[{"type":"input_text","text":"a"},{"a":"ü"}]')


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "function_call_output", "output": "x"}, "call_id"),
        ({"type": "function_call_output", "call_id": None, "id": "fco_1", "output": "x"}, "call_id"),
        ({"type": "custom_tool_call_output", "call_id": 5, "output": "x"}, "call_id"),
        ({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image"}]}, "output[0].image_url"),
    ],
)
def test_result_that_cannot_be_taken_is_named(item: Json, param: str) -> None:
    assert refused(item).param == f"input[1].{param}"


def test_result_that_is_missing_is_told_to_be() -> None:
    error = refused({"type": "function_call_output", "call_id": "a"})
    assert (error.param, error.code) == ("input[1].output", "missing_required_parameter")


def test_call_and_output_that_are_sent_twice_word_for_word_count_once() -> None:
    output = {"type": "function_call_output", "call_id": "a", "output": "x"}
    messages, _ = decoded(call(id="fc_1"), call(id="fc_1"), output, dict(output), call(arguments='{"at":1}'))
    assert [part for each in messages for part in each.parts] == [
        ToolCallPart("a", "look", {}),
        ToolResultPart("a", "", (TextPart("x"),)),
        ToolCallPart("a", "look", {"at": 1}),
    ]

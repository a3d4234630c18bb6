"""The items of a stored input: named, so that each is one by the SDK's types, and listed in pages."""

import copy

import pytest
from openai.types.responses import ResponseItemList

from agproxy.errors import BadRequest
from agproxy.protocols.openai_responses import decode_request
from agproxy.protocols.openai_responses_list import named_items, page
from tests.chat_bodies import PNG, Json
from tests.response_bodies import full_body, hosted_body

PICTURE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}


def listed(*items: Json) -> list[Json]:
    """The items as a client gets them, each one by the SDK's types."""
    whole = page(named_items(list(items), "resp_ab"), {"order": "asc", "limit": "100"})
    ResponseItemList.model_validate(whole, strict=True)
    return whole["data"]  # type: ignore[no-any-return]


# Names.


def test_message_gets_all_that_a_list_wants() -> None:
    assert listed({"role": "user", "content": "Hi"}) == [
        {
            "type": "message",
            "id": "msg_ab_in0",
            "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}],
            "status": "completed",
        }
    ]


def test_item_that_has_all_stays_as_it_is() -> None:
    message = {
        "type": "message",
        "id": "msg_7",
        "role": "assistant",
        "status": "incomplete",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
    }
    call = {
        "type": "function_call",
        "id": "fc_7",
        "call_id": "a",
        "name": "f",
        "arguments": "{}",
        "status": "completed",
    }
    reasoning = {"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "x"}
    assert listed(message, call, reasoning) == [message, call, reasoning]


@pytest.mark.parametrize(
    ("item", "prefix"),
    [
        ({"role": "user", "content": []}, "msg"),
        ({"type": "reasoning", "summary": []}, "rs"),
        ({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}, "fc"),
        ({"type": "function_call_output", "call_id": "a", "output": "x"}, "fco"),
        ({"type": "custom_tool_call", "call_id": "a", "name": "f", "input": "x"}, "ctc"),
        ({"type": "custom_tool_call_output", "call_id": "a", "output": "x"}, "ctco"),
        ({"type": "apply_patch_call", "call_id": "a", "operation": {"type": "delete_file", "path": "a"}}, "item"),
    ],
)
@pytest.mark.parametrize("nothing", [{}, {"id": None}, {"id": ""}])
def test_item_without_an_id_gets_one_of_its_kind(item: Json, prefix: str, nothing: Json) -> None:
    user = {"role": "user", "content": "Hi"}
    assert [each["id"] for each in listed(user, {**item, **nothing})] == ["msg_ab_in0", f"{prefix}_ab_in1"]


def test_output_of_an_older_shell_has_the_id_of_its_call() -> None:
    output = {"type": "local_shell_call_output", "output": "x"}
    older, newer = named_items([{**output, "id": "lsh_1"}, {**output, "id": "o_1", "call_id": "a"}], "resp_ab")
    assert (older["id"], older["call_id"], newer["id"], newer["call_id"]) == ("lsh_1", "lsh_1", "o_1", "a")


def test_ids_that_stand_twice_are_made_different() -> None:
    message = {"type": "message", "id": "msg_7", "role": "user", "content": []}
    assert [item["id"] for item in listed(message, message)] == ["msg_7", "msg_ab_in1"]


@pytest.mark.parametrize("content", ["Hi", ["Hi"], [{"type": "text", "text": "Hi"}]])
@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
def test_text_stands_in_parts_of_its_kind(role: str, content: Json) -> None:
    (message,) = listed({"role": role, "content": content})
    said = {"type": "output_text", "text": "Hi", "annotations": []}
    assert message["content"] == [said if role == "assistant" else {"type": "input_text", "text": "Hi"}]


@pytest.mark.parametrize("kind", ["input_text", "output_text"])
def test_text_of_the_other_kind_is_put_right(kind: str) -> None:
    asked, said = listed(*({"role": role, "content": [{"type": kind, "text": "Hi"}]} for role in ("user", "assistant")))
    assert (asked["content"][0]["type"], said["content"][0]["type"]) == ("input_text", "output_text")


@pytest.mark.parametrize("content", [None, "", []])
def test_message_without_content_has_no_parts(content: Json) -> None:
    assert listed({"role": "assistant", "content": content})[0]["content"] == []


def test_other_parts_stay_as_they_are() -> None:
    refusal = {"type": "refusal", "refusal": "No."}
    file = {"type": "input_file", "filename": "a.pdf", "file_url": "https://example.com/a.pdf"}
    (said,) = listed({"role": "assistant", "content": [refusal]})
    (asked,) = listed({"role": "user", "content": [file]})
    assert (said["content"], asked["content"]) == ([refusal], [file])


@pytest.mark.parametrize("sent", [PICTURE, {**PICTURE, "detail": None}, {**PICTURE, "detail": "auto"}])
def test_image_has_a_detail(sent: Json) -> None:
    (message,) = listed({"role": "user", "content": [sent]})
    assert message["content"] == [{**PICTURE, "detail": "auto"}]
    (output,) = listed({"type": "function_call_output", "call_id": "a", "output": [sent]})
    assert output["output"] == [{**PICTURE, "detail": "auto"}]
    (message,) = listed({"role": "user", "content": [{**PICTURE, "detail": "low"}]})
    assert message["content"][0]["detail"] == "low"


def test_image_of_chat_completions_is_one_of_responses() -> None:
    (message,) = listed(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.co/b.png"}}]}
    )
    assert message["content"] == [{"type": "input_image", "image_url": "https://a.co/b.png", "detail": "auto"}]


@pytest.mark.parametrize("output", ["x", None, {"a": 1}, [1, None, {"a": 1}]])
def test_other_results_stay_as_they_are(output: Json) -> None:
    (item,) = named_items([{"type": "function_call_output", "call_id": "a", "output": output}], "resp_ab")
    assert item["output"] == output


@pytest.mark.parametrize("body", [full_body(), hosted_body()])
def test_items_mean_the_same_once_they_are_named(body: Json) -> None:
    before = copy.deepcopy(body)
    named = {**body, "input": named_items(body["input"], "resp_ab")}
    assert body == before
    assert decode_request(named).messages == decode_request(body).messages
    assert len({item["id"] for item in named["input"]}) == len(body["input"])


# Pages.

ITEMS = [{"id": f"msg_{number}"} for number in range(1, 31)]


def ids(**query: str) -> list[int]:
    """The numbers of the items of one page, whose frame fits them."""
    found = page(ITEMS, query)
    names = [item["id"] for item in found["data"]]
    assert (found["object"], found["first_id"], found["last_id"]) == ("list", names[0], names[-1])
    return [int(name.removeprefix("msg_")) for name in names]


def test_page_is_the_last_twenty_in_reverse_unless_asked_for() -> None:
    assert ids() == list(range(30, 10, -1))
    assert ids(order="desc") == ids()
    assert ids(order="asc") == list(range(1, 21))
    assert page(ITEMS, {})["has_more"] is True


@pytest.mark.parametrize(
    ("limit", "count", "more"), [("1", 1, True), ("29", 29, True), ("30", 30, False), ("100", 30, False)]
)
def test_page_has_as_many_as_asked_for(limit: str, count: int, more: bool) -> None:
    assert len(ids(limit=limit)) == count
    assert page(ITEMS, {"limit": limit})["has_more"] is more


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_one_another(order: str) -> None:
    found: list[Json] = []
    after: dict[str, str] = {}
    while True:
        one = page(ITEMS, {"limit": "7", "order": order, **after})
        found += one["data"]
        if not one["has_more"]:
            break
        after = {"after": one["last_id"]}
    assert found == (ITEMS if order == "asc" else ITEMS[::-1])


def test_page_may_be_empty() -> None:
    assert page([], {}) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert page(ITEMS, {"after": "msg_1"})["data"] == []
    assert page(ITEMS, {"after": ""}) == page(ITEMS, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "101", "-1", "1.5", "x", "", "٣", "9" * 5000, "0" * 9 + "5", " 5")),
        *(("order", value) for value in ("", "up", "ASC")),
        *(("after", value) for value in ("msg_31", "x" * 5000)),
    ],
)
def test_page_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        page(ITEMS, {name: value})
    assert caught.value.param == name
    assert len(caught.value.message) < 200

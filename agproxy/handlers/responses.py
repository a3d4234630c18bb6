"""OpenAI Responses: answers, those that are stored, and what a request would count.

Wire: https://developers.openai.com/api/reference/resources/responses
"""

from dataclasses import replace
from typing import Any

from werkzeug import Response

from agproxy import stored
from agproxy.asks import COUNT
from agproxy.call import Call
from agproxy.chat import ChatRequest, Finish
from agproxy.errors import BadRequest, ClientGone, UnusableAnswer
from agproxy.fold import fold
from agproxy.gateway import Gateway
from agproxy.handlers import chat
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields, openai_responses, openai_responses_list
from agproxy.protocols.openai_responses_items import seal_summary
from agproxy.protocols.openai_responses_request import Echo
from agproxy.request import Request


def create(gateway: Gateway, request: Request) -> Response:
    """One answer, whole or streamed; it is stored unless the client does not want that."""
    body = chat.read(gateway, request)
    decoded, session = _decoded(gateway, request, body)
    response_id = f"{openai_responses.ID_PREFIX}{gateway.new_id()}"
    echo = decoded.echo
    assert isinstance(echo, Echo)  # noqa: S101 (decode_request made it)
    if echo.fields["store"] and request.body_length > stored.MAX_INPUT_BYTES:
        echo = replace(echo, fields={**echo.fields, "store": False})
        decoded = replace(decoded, echo=echo, ignored=(*decoded.ignored, "store"))

    def conclude(call: Call, response: dict[str, Any]) -> None:
        if response["status"] == "completed":
            response["completed_at"] = int(gateway.clock())
        if echo.fields["store"] and not isinstance(call.cancel.error, ClientGone):  # nobody has heard it to its end
            response["store"] = stored.keep(gateway.store, response, items=_items(body), session=call.session)

    return chat.answer(gateway, request, decoded, id_=response_id, session=session, conclude=conclude)


def retrieve(gateway: Gateway, request: Request, response_id: str) -> Response:
    """A stored Response."""
    if request.query().get("stream", "").lower() == "true":
        raise BadRequest("a stored response is not streamed again; ask for it without stream", param="stream")
    return _json(stored.load(gateway.store, response_id))


def delete(gateway: Gateway, request: Request, response_id: str) -> Response:
    """Forget a stored Response."""
    stored.delete(gateway.store, response_id)
    return _json({"id": response_id, "object": "response", "deleted": True})


def cancel(gateway: Gateway, request: Request, response_id: str) -> Response:
    """Refused: it is for responses in the background, which agproxy does not make."""
    stored.load(gateway.store, response_id)
    raise BadRequest("only a response that was made with background: true can be cancelled; close its stream instead")


def input_items(gateway: Gateway, request: Request, response_id: str) -> Response:
    """A page of the items of a stored Response's input."""
    items = openai_responses_list.named_items(stored.load_input(gateway.store, response_id), response_id)
    return _json(openai_responses_list.page(items, request.query()))


def input_tokens(gateway: Gateway, request: Request) -> Response:
    """How many tokens the input of a request has, instructions, tools and conversation included."""
    body = chat.read(gateway, request)
    decoded, session = _decoded(gateway, request, body)
    decoded = replace(decoded, stream=False, sampling=replace(decoded.sampling, choices=1))
    call = chat.call_for(gateway, request, decoded, session=session, ask=COUNT)
    tokens = next(event.usage.input_tokens for event in call.events() if isinstance(event, Finish))
    chat.answered(request)
    return _json({"object": "response.input_tokens", "input_tokens": tokens})


# What a conversation is summed up with.
_SUM_UP = (
    "Sum up the conversation above for somebody who will carry it on without having seen it: what the user wants, what"
    " was decided and done, which facts, names, paths, numbers and pieces of code are still needed, and what is left to"
    " do. Write nothing but the summary."
)


def compact(gateway: Gateway, request: Request) -> Response:
    """A conversation in short: the user's messages, and an item that holds a summary of all of it."""
    body = chat.read(gateway, request)
    items, session = _conversation(gateway, request, body)
    with chat.nesting():
        said = [item for _, item in openai_responses.input_items(body)]
        asked: fields.Body = {
            name: body[name] for name in ("model", "instructions", "prompt_cache_key") if name in body
        }
        last = {"role": "user", "content": _SUM_UP}
        decoded = openai_responses.decode_request({**asked, "input": [*said, last]}, earlier=items)
    unread = [name for name, value in body.items() if value and name not in _COMPACTED]
    decoded = replace(decoded, ignored=(*decoded.ignored, *unread))
    call = chat.call_for(gateway, request, decoded, session=session)
    reply = fold(call.events())
    chat.answered(request)
    if not reply.text or reply.finish.reason != "stop":  # its client would throw the conversation away for it
        why = reply.finish.refusal or reply.finish.note or f"the summary is not whole ({reply.finish.reason})"
        raise UnusableAnswer(f"the conversation could not be summed up: {why}")
    response_id = f"{openai_responses.ID_PREFIX}{gateway.new_id()}"
    kept = [item for item in (*items, *said) if isinstance(item, dict) and item.get("role") == "user"]
    output = openai_responses_list.named_items(kept, response_id)
    summary = {"type": "compaction", "id": f"cmp_{response_id.partition('_')[2]}_{len(output)}"}
    return _json(
        {
            "id": response_id,
            "object": "response.compaction",
            "created_at": int(gateway.clock()),
            "output": [*output, {**summary, "encrypted_content": seal_summary(reply.text)}],
            "usage": openai_responses.encode_usage(reply.finish.usage),
        }
    )


_COMPACTED = ("model", "input", "instructions", "previous_response_id", "prompt_cache_key")


def _decoded(gateway: Gateway, request: Request, body: fields.Body) -> tuple[ChatRequest, str | None]:
    """The request, with the conversation that it continues, and the key of that."""
    earlier, session = _conversation(gateway, request, body)
    with chat.nesting():
        return openai_responses.decode_request(body, earlier=earlier), session


def _conversation(gateway: Gateway, request: Request, body: fields.Body) -> tuple[list[fields.Body], str | None]:
    """The items before the input, and the key of their conversation; what the input refers to is put into it."""
    if isinstance(body.get("input"), list):
        body["input"], added_bytes = stored.resolved(gateway.store, body["input"])
        request.body_length += added_bytes
    previous = fields.string(body, "previous_response_id")
    if not previous or openai_responses.is_chat(body):
        return [], None
    return stored.conversation(gateway.store, previous)


def _items(body: fields.Body) -> list[fields.Body]:
    return [item for _, item in openai_responses.input_items(body)]


def _json(value: object) -> Response:
    return Response(encode_json(value), mimetype="application/json")

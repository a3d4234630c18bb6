"""The Responses that agproxy has stored, and the conversations that they are.

A stored Response keeps its own input only; those before it are found by ``previous_response_id``, one by one. The ids
of items tell of which Response they are, so that a client may refer to them.
"""

import json
from typing import Any

from agproxy.errors import NotStored, PayloadTooLarge
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_responses_list import named_items
from agproxy.store import Store

Body = dict[str, Any]

_RESPONSE, _INPUT = "response:", "response_input:"  # apart, for a reference to an answer is no reason to read its input

TTL_S = 30 * 24 * 3600.0  # as long as OpenAI's: https://developers.openai.com/api/docs/guides/your-data
# The input of one Response; a greater one is not stored. It is written while other requests wait.
MAX_INPUT_BYTES = 8 << 20
MAX_KEPT_BYTES = 14 << 20  # with the answer; no store takes more than 16 MiB
# What one request may fetch from the store: a few bytes of it can name much.
MAX_BYTES = 32 << 20


def keep(store: Store, response: Body, *, items: list[Body], session: str) -> bool:
    """Keep a Response, if it is not too long for that.

    :param items: those of its own input, as they were sent.
    :param session: the key of its conversation.
    :returns: whether it is kept.
    """
    sent = encode_json(items).decode()
    sizes = {"input_bytes": len(sent), "output_bytes": len(encode_json(response["output"]))}
    if sum(sizes.values()) > MAX_KEPT_BYTES:
        return False
    store.put(_INPUT + response["id"], sent, ttl_s=TTL_S)  # first: where there is a Response, there is its input
    store.put(_RESPONSE + response["id"], {"response": response, "session": session, **sizes}, ttl_s=TTL_S)
    return True


def load(store: Store, response_id: str) -> Body:
    """A stored Response.

    :raises NotStored: when there is none of this id, or not any more.
    """
    kept: Body | None = store.get(_RESPONSE + response_id)
    if kept is None:
        raise _not_found(response_id)
    response: Body = kept["response"]
    return response


def load_input(store: Store, response_id: str) -> list[Body]:
    """The items of a stored Response's input, as they were sent.

    :raises NotStored: when there is none of this id, or not any more.
    """
    sent = store.get(_INPUT + response_id)
    if sent is None or store.get(_RESPONSE + response_id) is None:
        raise _not_found(response_id)
    return _items(sent)


def delete(store: Store, response_id: str) -> None:
    """Forget a Response.

    :raises NotStored: when there is none of this id.
    """
    load(store, response_id)
    store.delete(_RESPONSE + response_id)
    store.delete(_INPUT + response_id)


def conversation(store: Store, response_id: str) -> tuple[list[Body], str]:
    """The items of a conversation up to and with the answer of a Response, and the conversation's key.

    :raises NotStored: a part of it is not there, or not any more.
    :raises PayloadTooLarge: it is over ``MAX_BYTES``.
    """
    turns: list[list[Body]] = []
    session, total_bytes = "", 0
    wanted: str | None = response_id
    while wanted:
        kept = store.get(_RESPONSE + wanted)
        sent = None if kept is None else store.get(_INPUT + wanted)
        if kept is None or sent is None:
            lost = "" if wanted == response_id else f" Its beginning, {wanted[:80]!a}, has expired or was deleted."
            raise NotStored(
                f"Previous response with id {response_id[:80]!a} not found.{lost or ' ' + _WHY}",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        session = session or kept["session"]
        total_bytes += kept["input_bytes"] + kept["output_bytes"]
        if total_bytes > MAX_BYTES:
            raise _too_large("previous_response_id")
        turns.append([*_items(sent), *kept["response"]["output"]])
        wanted = kept["response"]["previous_response_id"]
    return [item for turn in reversed(turns) for item in turn], session


def resolved(store: Store, items: list[Any]) -> tuple[list[Any], int]:
    """The items, with those that are only named put in, and how many bytes that adds.

    Those that are not found stay as they are.

    :raises PayloadTooLarge: what is named is over ``MAX_BYTES``.
    """
    lists: dict[tuple[str, str], dict[str, Body]] = {}  # items by their ids, by where they are kept
    sizes: dict[str, int] = {}
    total_bytes = loaded_bytes = 0
    found = []
    for position, item in enumerate(items):
        if not _is_reference(item):
            found.append(item)
            continue
        _, token, place = (*item["id"].split("_", 2), "", "")[:3]
        where = (_INPUT if place.startswith("in") else _RESPONSE), f"resp_{token}"
        if where not in lists:
            lists[where], size = _referable(store, *where)
            loaded_bytes += size
        meant = lists[where].get(item["id"], item)
        if item["id"] not in sizes:
            sizes[item["id"]] = len(encode_json(meant))
        total_bytes += sizes[item["id"]]
        if max(total_bytes, loaded_bytes) > MAX_BYTES:
            raise _too_large(f"input[{position}]")
        found.append(meant)
    return found, total_bytes


def _referable(store: Store, kind: str, response_id: str) -> tuple[dict[str, Body], int]:
    """The items that may be referred to, by their ids, and how many bytes they are: of the answer, or of its input."""
    kept = store.get(_RESPONSE + response_id)
    if kept is None:
        return {}, 0
    if kind == _RESPONSE:
        return {item["id"]: item for item in kept["response"]["output"]}, kept["output_bytes"]
    items = _items(store.get(_INPUT + response_id) or "[]")
    names = [named["id"] for named in named_items(items, response_id)]
    return dict(zip(names, items, strict=True)), kept["input_bytes"]


def _items(sent: str) -> list[Body]:
    items: list[Body] = json.loads(sent)
    return items


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and item.keys() <= {"id", "type"})


def _too_large(param: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{param} stands for stored items of more than {MAX_BYTES} bytes, which is too much for one request",
        param=param,
    )


def _not_found(response_id: str) -> NotStored:
    return NotStored(f"Response with id {response_id[:80]!a} not found. {_WHY}", code="response_not_found")


_WHY = "agproxy keeps those that were made with store: true (the default), for 30 days, as long as there is room."

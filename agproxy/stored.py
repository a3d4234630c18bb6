"""The Responses that agproxy has stored, and the conversations that they are.

A stored Response keeps its own input only; those before it are found by ``previous_response_id``, one by one. The ids
of items tell of which Response they are, so that a client may refer to them.
"""

from typing import Any

from agproxy.errors import NotStored, PayloadTooLarge
from agproxy.jsonwire import encode_json
from agproxy.store import Store

Body = dict[str, Any]

TTL_S = 30 * 24 * 3600.0  # as long as OpenAI's: https://developers.openai.com/api/docs/guides/your-data
# The input of one Response; a greater one is not stored. It is written while other requests wait.
MAX_INPUT_BYTES = 8 << 20
MAX_KEPT_BYTES = 14 << 20  # with the answer; no store takes more than 16 MiB
# What one request may fetch from the store: a few bytes of it can name much.
MAX_BYTES = 32 << 20


def keep(store: Store, response: Body, *, items: list[Body], session: str) -> bool:
    """Keep a Response, if it is not too long for that.

    :param items: those of its own input, with ids.
    :param session: the key of its conversation.
    :returns: whether it is kept.
    """
    size = len(encode_json(items)) + len(encode_json(response["output"]))
    if size > MAX_KEPT_BYTES:
        return False
    kept = {"response": response, "input": items, "bytes": size, "session": session}
    store.put(_key(response["id"]), kept, ttl_s=TTL_S)
    return True


def load(store: Store, response_id: str) -> Body:
    """What ``keep`` was given: ``response``, ``input`` and ``session``, and how many ``bytes`` the items are.

    :raises NotStored: when there is none of this id, or not any more.
    """
    kept: Body | None = store.get(_key(response_id))
    if kept is None:
        raise NotStored(f"Response with id {response_id[:80]!a} not found. {_WHY}", code="response_not_found")
    return kept


def delete(store: Store, response_id: str) -> None:
    """Forget a Response.

    :raises NotStored: when there is none of this id.
    """
    load(store, response_id)
    store.delete(_key(response_id))


def conversation(store: Store, response_id: str) -> tuple[list[Body], str]:
    """The items of a conversation up to and with the answer of a Response, and the conversation's key.

    :raises NotStored: a part of it is not there, or not any more.
    :raises PayloadTooLarge: it is over ``MAX_BYTES``.
    """
    turns: list[list[Body]] = []
    session, total_bytes = "", 0
    wanted: str | None = response_id
    while wanted:
        kept = store.get(_key(wanted))
        if kept is None:
            lost = "" if wanted == response_id else f" Its beginning, {wanted[:80]!a}, has expired or was deleted."
            raise NotStored(
                f"Previous response with id {response_id[:80]!a} not found.{lost or ' ' + _WHY}",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        session = session or kept["session"]
        total_bytes += kept["bytes"]
        if total_bytes > MAX_BYTES:
            raise _too_large("previous_response_id")
        turns.append([*kept["input"], *kept["response"]["output"]])
        wanted = kept["response"]["previous_response_id"]
    return [item for turn in reversed(turns) for item in turn], session


def resolved(store: Store, items: list[Any]) -> tuple[list[Any], int]:
    """The items, with those that are only named put in, and how many bytes that adds.

    Those that are not found stay as they are.

    :raises PayloadTooLarge: what is named is over ``MAX_BYTES``.
    """
    known: dict[str, dict[str, Body]] = {}  # items by their ids, by the id of their Response
    sizes: dict[str, int] = {}
    total_bytes = loaded_bytes = 0
    found = []
    for position, item in enumerate(items):
        if not _is_reference(item):
            found.append(item)
            continue
        response_id = f"resp_{item['id'].partition('_')[2].partition('_')[0]}"
        if response_id not in known:
            kept = store.get(_key(response_id)) or {"input": [], "response": {"output": []}, "bytes": 0}
            known[response_id] = {held["id"]: held for held in (*kept["input"], *kept["response"]["output"])}
            loaded_bytes += kept["bytes"]
        meant = known[response_id].get(item["id"], item)
        if item["id"] not in sizes:
            sizes[item["id"]] = len(encode_json(meant))
        total_bytes += sizes[item["id"]]
        if max(total_bytes, loaded_bytes) > MAX_BYTES:
            raise _too_large(f"input[{position}]")
        found.append(meant)
    return found, total_bytes


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    return item.get("type") == "item_reference" or item.keys() == {"id"}


def _too_large(param: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{param} stands for stored items of more than {MAX_BYTES} bytes, which is too much for one request",
        param=param,
    )


def _key(response_id: str) -> str:
    return f"response:{response_id}"


_WHY = "agproxy keeps those that were made with store: true (the default), for 30 days, as long as there is room."

"""The Responses that agproxy has stored, and the conversations that they are.

A stored Response keeps its own input only; those before it are found by ``previous_response_id``, one by one. The ids
of items tell of which Response they are, so that a client may refer to them.
"""

from typing import Any

from agproxy.errors import NotStored, PayloadTooLarge
from agproxy.store import Store

Body = dict[str, Any]

TTL_S = 30 * 24 * 3600.0  # as long as OpenAI's: https://developers.openai.com/api/docs/guides/your-data
# The input of one Response; a greater one is not stored. It is written while other requests wait.
MAX_INPUT_BYTES = 8 << 20


def keep(store: Store, response: Body, *, items: list[Body], input_bytes: int, session: str) -> None:
    """Keep a Response.

    :param items: those of its own input, with ids.
    :param session: the key of its conversation.
    """
    kept = {"response": response, "input": items, "bytes": input_bytes, "session": session}
    store.put(_key(response["id"]), kept, ttl_s=TTL_S)


def load(store: Store, response_id: str) -> Body:
    """What ``keep`` was given: ``response``, ``input``, ``bytes`` and ``session``.

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


def conversation(store: Store, response_id: str, *, max_bytes: int) -> tuple[list[Body], str]:
    """The items of a conversation up to and with the answer of a Response, and the conversation's key.

    :raises NotStored: a part of it is not there, or not any more.
    :raises PayloadTooLarge: over ``max_bytes``.
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
        if total_bytes > max_bytes:
            raise PayloadTooLarge(
                f"the conversation is over {max_bytes} bytes (max_body_bytes in [server] of agproxy.ini)",
                param="previous_response_id",
            )
        turns.append([*kept["input"], *kept["response"]["output"]])
        wanted = kept["response"]["previous_response_id"]
    return [item for turn in reversed(turns) for item in turn], session


def resolved(store: Store, items: list[Any]) -> list[Any]:
    """The items, with those that are only named put in; those that are not found stay as they are."""
    return [_found(store, item) if _is_reference(item) else item for item in items]


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    return item.get("type") == "item_reference" or item.keys() == {"id"}


def _found(store: Store, reference: Body) -> Body:
    _, _, rest = reference["id"].partition("_")
    kept = store.get(_key(f"resp_{rest.partition('_')[0]}"))
    held = [] if kept is None else [*kept["input"], *kept["response"]["output"]]
    return next((item for item in held if item.get("id") == reference["id"]), reference)


def _key(response_id: str) -> str:
    return f"response:{response_id}"


_WHY = "agproxy keeps those that were made with store: true (the default), for 30 days, as long as there is room."

"""The items of a Response's input, as ``GET /v1/responses/{id}/input_items`` lists them.

Wire: ``ResponseItemList`` and ``InputItemListParams`` of the ``openai`` package.
"""

from collections.abc import Mapping
from typing import Any

from agproxy.errors import BadRequest
from agproxy.protocols.fields import Body, shown

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
_MAX_LIMIT = 100
_DEFAULT_LIMIT = 20


def named_items(items: list[Any], response_id: str) -> list[Body]:
    """Items with all that a list of them wants: ``type``, ``id``, ``status``, content in parts.

    :param items: those of an input that was understood.
    """
    token = response_id.partition("_")[2]
    known: set[str] = set()
    return [_named(dict(item), f"{token}_in{number}", known) for number, item in enumerate(items)]


def _named(item: Body, token: str, known: set[str]) -> Body:
    """The item with an id of its own: clients that try again send some twice, and a page is found by its last one."""
    kind = item["type"] = item.get("type") or "message"
    if kind == "local_shell_call_output" and not item.get("call_id"):
        item["call_id"] = item.get("id")  # which is the call's
    if not isinstance(item.get("id"), str) or not item["id"] or item["id"] in known:
        item["id"] = f"{_PREFIXES.get(kind, 'item')}_{token}"
    known.add(item["id"])
    if kind == "message":
        item["content"] = _parts(item.get("content"), item.get("role"))
    elif isinstance(item.get("output"), list):
        item["output"] = [_pictured(part) if isinstance(part, dict) else part for part in item["output"]]
    if kind != "reasoning" and not isinstance(item.get("status"), str):
        item["status"] = "completed"
    return {name: item[name] for name in ("type", "id", *item)}


def _parts(content: object, role: object) -> list[Body]:
    is_said = role == "assistant"
    if content is None or content == "":
        return []
    if isinstance(content, list):
        return [_part(part, is_said=is_said) for part in content]
    return [_part(content, is_said=is_said)]


def _part(part: Any, *, is_said: bool) -> Body:
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    match part.get("type"):
        case "text" | "output_text" | "input_text" if is_said:
            return {"annotations": [], **part, "type": "output_text"}
        case "text" | "output_text" | "input_text":
            return {**part, "type": "input_text"}
        case "image_url" | "input_image":
            image = part.get("image_url")
            if isinstance(image, dict):  # as Chat Completions has it
                part = {**part, **image, "image_url": image.get("url")}
                part.pop("url", None)
            return _pictured({**part, "type": "input_image"})
    return dict(part)


def _pictured(part: Body) -> Body:
    return {**part, "detail": part.get("detail") or "auto"} if part.get("type") == "input_image" else part


def page(items: list[Body], query: Mapping[str, str]) -> Body:
    """One page of a list of items.

    :param query: ``after`` (the id of an item), ``limit`` (1 to 100) and ``order`` (``asc``, or ``desc``, the default).
    :raises BadRequest: one of them makes no sense.
    """
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest(f"order must be asc or desc, not {shown(order)}", param="order")
    limit_text = query.get("limit", str(_DEFAULT_LIMIT))
    limit = int(limit_text) if len(limit_text) <= 3 and limit_text.isascii() and limit_text.isdigit() else 0
    if not 1 <= limit <= _MAX_LIMIT:
        raise BadRequest(f"limit must be between 1 and {_MAX_LIMIT}, not {shown(limit_text)}", param="limit")
    ordered = items if order == "asc" else items[::-1]
    if after := query.get("after"):
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise BadRequest(f"after names {shown(after)}, which is no item of this input", param="after")
        ordered = ordered[places[0] + 1 :]
    shown_items = ordered[:limit]
    return {
        "object": "list",
        "data": shown_items,
        "first_id": shown_items[0]["id"] if shown_items else None,
        "last_id": shown_items[-1]["id"] if shown_items else None,
        "has_more": len(ordered) > len(shown_items),
    }

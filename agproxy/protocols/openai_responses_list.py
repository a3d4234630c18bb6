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
    return [_named(dict(item), f"{token}_in{number}") for number, item in enumerate(items)]


def _named(item: Body, token: str) -> Body:
    kind = item.setdefault("type", "message")
    if not isinstance(item.get("id"), str) or not item["id"]:
        item["id"] = f"{_PREFIXES.get(kind, 'item')}_{token}"
    if kind == "message":
        item["content"] = _parts(item.get("content"), item.get("role"))
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
            url = image.get("url") if isinstance(image, dict) else image
            return {"detail": part.get("detail") or "auto", "type": "input_image", "image_url": url}
    return dict(part)


def page(items: list[Body], query: Mapping[str, str]) -> Body:
    """One page of a list of items.

    :param query: ``after`` (the id of an item), ``limit`` (1 to 100) and ``order`` (``asc``, or ``desc``, the default).
    :raises BadRequest: one of them makes no sense.
    """
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest(f"order must be asc or desc, not {shown(order)}", param="order")
    limit_text = query.get("limit", str(_DEFAULT_LIMIT))
    if not limit_text.isascii() or not limit_text.isdigit() or not 1 <= int(limit_text[:9]) <= _MAX_LIMIT:
        raise BadRequest(f"limit must be between 1 and {_MAX_LIMIT}, not {shown(limit_text)}", param="limit")
    ordered = items if order == "asc" else items[::-1]
    if after := query.get("after"):
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise BadRequest(f"after names {shown(after)}, which is no item of this input", param="after")
        ordered = ordered[places[0] + 1 :]
    shown_items = ordered[: int(limit_text)]
    return {
        "object": "list",
        "data": shown_items,
        "first_id": shown_items[0]["id"] if shown_items else None,
        "last_id": shown_items[-1]["id"] if shown_items else None,
        "has_more": len(ordered) > len(shown_items),
    }

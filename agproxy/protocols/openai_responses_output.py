"""The output items of one answer, as they grow: events of the hub to events of the Responses stream.

Wire: ``ResponseStreamEvent`` and ``ResponseOutputItem`` of the ``openai`` package; the order of events:
https://www.openresponses.org/specification. One answer's text is one message, unless something stands in between; the
whole object and the stream are made here alike.
"""

import json
from collections.abc import Iterator
from typing import Any

from agproxy.chat import (
    Citation,
    Event,
    Finish,
    ImageDelta,
    Metadata,
    ReasoningDelta,
    ReplyMeta,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
)
from agproxy.protocols.fields import Body
from agproxy.protocols.openai_chat import encode_token, freeform_input
from agproxy.protocols.openai_responses_request import Echo
from agproxy.protocols.seals import seal


class Output:
    """The items so far.

    Each method that takes an event yields those of the stream, without their sequence numbers. What they hold changes
    afterwards: they are to be written down at once.

    :ivar items: as the Response object has them.
    """

    def __init__(self, meta: ReplyMeta, echo: Echo) -> None:
        self.items: list[Body] = []
        self._token = meta.id.removeprefix("resp_")
        self._freeform = meta.freeform
        self._echo = echo
        self._message: _Message | None = None  # the open one
        self._reasoning: _Reasoning | None = None
        self._calls: dict[int, _Call] = {}  # the open ones, by their number in the answer
        self._messages: list[_Message] = []
        self._length = 0  # of the whole text
        self._unsaid: TextDelta | None = None  # what came with an empty text while no message was open
        self._citations: list[Citation] = []
        self._searches: list[Searched] = []

    def add(self, event: Event) -> Iterator[Body]:
        """What an event tells, other than the end."""
        match event:
            case TextDelta():
                yield from self._text(event)
            case ReasoningDelta():
                yield from self._thought(event)
            case ToolCallStart():
                yield from self._call(event)
            case ToolCallDelta():
                if event.index in self._calls:
                    yield from self._calls[event.index].more(event.arguments)
            case ImageDelta():
                yield from self._image(event)
            case Searched():
                self._searches.append(event)
            case Citation():
                self._citations.append(event)

    def finish(self, finish: Finish) -> Iterator[Body]:
        """The end of the answer. The item at which it was cut short is incomplete, and no other."""
        if finish.refusal:
            if self._message is None:
                yield from self._close()
                yield from self._open_message()
            assert self._message is not None  # noqa: S101 (just opened)
            self._message.refusal = finish.refusal
        is_whole = finish.reason in ("stop", "tool_calls") or bool(self._searches)
        yield from self._close(last_status="completed" if is_whole else "incomplete", at_end=True)
        for message in self._messages:  # what was said of those that had been closed
            yield from message.cite(self._cited(message, at_end=True))
        for search in self._searches:  # known after the text only
            yield from self._search(search)

    def cut(self) -> None:
        """The answer has broken off: what was open stays incomplete."""
        for item in (self._message, self._reasoning, *self._calls.values()):
            if item is not None:
                item.cut()

    # Items.

    def _open(self, prefix: str, item: Body) -> tuple[int, Body]:
        index = len(self.items)
        whole = {"type": item.pop("type"), "id": f"{prefix}_{self._token}_{index}", **item}
        self.items.append(whole)
        return index, whole

    def _close(self, *, last_status: str = "completed", at_end: bool = False) -> Iterator[Body]:
        """Close what is open, in order; before the end calls only if they are whole, for more of them may come."""
        is_open = [
            *filter(None, (self._message, self._reasoning)),
            *(call for call in self._calls.values() if at_end or call.is_whole()),
        ]
        for item in sorted(is_open, key=lambda each: each.index):
            is_last = item.index == len(self.items) - 1
            if isinstance(item, _Message):
                yield from item.end_text()
                yield from item.cite(self._cited(item, at_end=at_end))
            yield from item.close(last_status if is_last else "completed")
        self._message = self._reasoning = None
        self._calls = {number: call for number, call in self._calls.items() if call not in is_open}

    def _text(self, event: TextDelta) -> Iterator[Body]:
        if not event.text:  # a signature or log probabilities alone: of the open text, else of what comes
            if self._message is not None:
                yield from self._message.more(event)
            else:
                before = self._unsaid or TextDelta("")
                metadata = event.provider_metadata or before.provider_metadata
                self._unsaid = TextDelta("", metadata, before.logprobs + event.logprobs)
            return
        if self._message is None:
            yield from self._close()
            yield from self._open_message()
        assert self._message is not None  # noqa: S101 (just opened)
        if self._unsaid is not None:
            unsaid, self._unsaid = self._unsaid, None
            event = TextDelta(
                event.text, event.provider_metadata or unsaid.provider_metadata, unsaid.logprobs + event.logprobs
            )
        yield from self._message.more(event)
        self._length += len(event.text)

    def _open_message(self) -> Iterator[Body]:
        item: Body = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        self._message = _Message(*self._open("msg", item), start=self._length)
        self._messages.append(self._message)
        yield from self._message.begin()

    def _thought(self, event: ReasoningDelta) -> Iterator[Body]:
        if not event.text:
            return
        if self._reasoning is None:
            yield from self._open_reasoning()
        assert self._reasoning is not None  # noqa: S101 (just opened)
        yield from self._reasoning.more(event.text)

    def _open_reasoning(self) -> Iterator[Body]:
        yield from self._close()
        place = self._open("rs", {"type": "reasoning", "summary": []})
        self._reasoning = _Reasoning(*place, is_sealed=self._echo.encrypted)
        yield from self._reasoning.begin()

    def _call(self, event: ToolCallStart) -> Iterator[Body]:
        if event.provider_metadata and self._echo.encrypted:  # its signature goes in front of it
            if self._reasoning is None:
                yield from self._open_reasoning()
            assert self._reasoning is not None  # noqa: S101 (just opened)
            self._reasoning.signatures[event.id] = event.provider_metadata
        yield from self._close()
        namespace, name = self._echo.names.get(event.name, ("", event.name))
        is_freeform = event.name in self._freeform
        item: Body = {"type": "custom_tool_call" if is_freeform else "function_call", "status": "in_progress"}
        item |= {"call_id": event.id, "name": name, "input" if is_freeform else "arguments": ""}
        if namespace:
            item["namespace"] = namespace
        call = _Call(*self._open("ctc" if is_freeform else "fc", item), is_freeform=is_freeform)
        self._calls[event.index] = call
        yield from call.begin()

    def _image(self, event: ImageDelta) -> Iterator[Body]:
        yield from self._close()
        index, item = self._open("ig", {"type": "image_generation_call", "status": "in_progress", "result": None})
        yield _added(index, item)
        item |= {"status": "completed", "result": event.base64, "output_format": event.media_type.partition("/")[2]}
        if event.provider_metadata:
            item["extra_content"] = event.provider_metadata
        yield _done(index, item)

    def _search(self, event: Searched) -> Iterator[Body]:
        action: Body = {"type": "search", "query": "; ".join(event.queries), "queries": list(event.queries)}
        index, item = self._open("ws", {"type": "web_search_call", "status": "in_progress", "action": action})
        yield _added(index, item)
        if self._echo.sources:
            action["sources"] = [{"type": "url", "url": url} for url in event.urls]
        item["status"] = "completed"
        place = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.web_search_call.completed", **place}
        yield _done(index, item)

    def _cited(self, message: "_Message", *, at_end: bool) -> list[Citation]:
        """Take the citations of a message: those that begin in it; in the end the last one has those behind it, too."""
        is_last = at_end and message is self._messages[-1]
        end = message.start + message.length
        mine: list[Citation] = []
        others: list[Citation] = []
        for citation in self._citations:
            is_mine = message.start <= citation.start and (is_last or citation.start < end)
            (mine if is_mine else others).append(citation)
        self._citations = others
        return mine


class _Item:
    """What the open items have in common: their place, and how they begin and end."""

    def __init__(self, index: int, item: Body) -> None:
        self.index = index
        self.item = item
        self._place: Body = {"item_id": item["id"], "output_index": index}

    def begin(self) -> Iterator[Body]:
        yield _added(self.index, self.item)

    def close(self, status: str) -> Iterator[Body]:
        if "status" in self.item:
            self.item["status"] = status
        yield _done(self.index, self.item)

    def cut(self) -> None:
        """Write down what has come, for it ends here."""
        if "status" in self.item:
            self.item["status"] = "incomplete"


class _Message(_Item):
    """A message of the model: one text, perhaps a refusal after it.

    :param start: where its text begins in that of the whole answer.
    """

    def __init__(self, index: int, item: Body, *, start: int) -> None:
        super().__init__(index, item)
        self.start = start
        self.length = 0
        self.refusal = ""
        self._pieces: list[str] = []
        self._part: Body | None = None

    def more(self, event: TextDelta) -> Iterator[Body]:
        if event.provider_metadata:
            self.item["extra_content"] = event.provider_metadata
        logprobs = [encode_logprob(each) for each in event.logprobs]
        if self._part is None and event.text:
            self._part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self.item["content"].append(self._part)
            yield {"type": "response.content_part.added", **self._place, "content_index": 0, "part": self._part}
        if self._part is None or not (event.text or logprobs):
            return
        self._part["logprobs"] += logprobs
        self._pieces.append(event.text)
        self.length += len(event.text)
        yield {
            "type": "response.output_text.delta",
            **self._place,
            "content_index": 0,
            "delta": event.text,
            "logprobs": logprobs,
        }

    def end_text(self) -> Iterator[Body]:
        if self._part is not None:
            text = self._part["text"] = "".join(self._pieces)
            done = {"text": text, "logprobs": self._part["logprobs"]}
            yield {"type": "response.output_text.done", **self._place, "content_index": 0, **done}

    def cite(self, citations: list[Citation]) -> Iterator[Body]:
        """Annotate the text; indexes count characters of it, ``end_index`` is the first behind them."""
        for citation in citations:
            if self._part is None:
                continue
            annotations = self._part["annotations"]
            start, end = (min(max(at - self.start, 0), self.length) for at in (citation.start, citation.end))
            annotation: Body = {"type": "url_citation", "url": citation.url, "title": citation.title}
            annotation |= {"start_index": start, "end_index": end}
            place = {**self._place, "content_index": 0, "annotation_index": len(annotations)}
            annotations.append(annotation)
            yield {"type": "response.output_text.annotation.added", **place, "annotation": annotation}

    def close(self, status: str) -> Iterator[Body]:
        if self._part is not None:
            yield {"type": "response.content_part.done", **self._place, "content_index": 0, "part": self._part}
        if self.refusal:
            place = {**self._place, "content_index": len(self.item["content"])}
            part = {"type": "refusal", "refusal": ""}
            self.item["content"].append(part)
            yield {"type": "response.content_part.added", **place, "part": part}
            yield {"type": "response.refusal.delta", **place, "delta": self.refusal}
            part["refusal"] = self.refusal
            yield {"type": "response.refusal.done", **place, "refusal": self.refusal}
            yield {"type": "response.content_part.done", **place, "part": part}
        yield from super().close(status)

    def cut(self) -> None:
        super().cut()
        if self._part is not None:
            self._part["text"] = "".join(self._pieces)


class _Reasoning(_Item):
    """Thoughts, as one summary.

    :param is_sealed: whether it has ``encrypted_content``: the signature of the call that it led to, if there is one.
        Clients that ask for it miss it where it is not.
    """

    def __init__(self, index: int, item: Body, *, is_sealed: bool) -> None:
        super().__init__(index, item)
        self._is_sealed = is_sealed
        self.signatures: dict[str, Metadata] = {}
        self._pieces: list[str] = []

    def more(self, text: str) -> Iterator[Body]:
        place = {**self._place, "summary_index": 0}
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            self.item["summary"].append(part)
            yield {"type": "response.reasoning_summary_part.added", **place, "part": part}
        self._pieces.append(text)
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": text}

    def close(self, status: str) -> Iterator[Body]:
        if self._pieces:
            place = {**self._place, "summary_index": 0}
            self.cut()
            part = self.item["summary"][0]
            yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
        if self._is_sealed:
            self.item["encrypted_content"] = seal(self.signatures)
        yield from super().close(status)

    def cut(self) -> None:
        if self._pieces:
            self.item["summary"][0]["text"] = "".join(self._pieces)


class _Call(_Item):
    """A call of a function, or of a custom tool, whose text is known only at its end."""

    def __init__(self, index: int, item: Body, *, is_freeform: bool) -> None:
        super().__init__(index, item)
        self._is_freeform = is_freeform
        self._pieces: list[str] = []

    def more(self, arguments: str) -> Iterator[Body]:
        if arguments:
            self._pieces.append(arguments)
            if not self._is_freeform:
                yield {"type": "response.function_call_arguments.delta", **self._place, "delta": arguments}

    def is_whole(self) -> bool:
        """Whether no more of its arguments can come."""
        try:
            json.loads("".join(self._pieces))
        except ValueError:
            return False
        return True

    def close(self, status: str) -> Iterator[Body]:
        if not self._is_freeform and not self._pieces:
            yield from self.more("{}")
        arguments = "".join(self._pieces)
        if self._is_freeform:
            written = self.item["input"] = freeform_input(arguments)
            yield {"type": "response.custom_tool_call_input.delta", **self._place, "delta": written}
            yield {"type": "response.custom_tool_call_input.done", **self._place, "input": written}
        else:
            self.item["arguments"] = arguments
            yield {"type": "response.function_call_arguments.done", **self._place, "arguments": arguments}
        yield from super().close(status)

    def cut(self) -> None:
        super().cut()
        if not self._is_freeform:
            self.item["arguments"] = "".join(self._pieces)


def _added(index: int, item: Body) -> Body:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: Body) -> Body:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def encode_logprob(token: TokenLogprob) -> dict[str, Any]:
    """One token, with its alternatives."""
    return {**encode_token(token), "top_logprobs": [encode_token(each) for each in token.top]}

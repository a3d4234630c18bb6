"""An answer as the content blocks of Anthropic Messages, and the events that stream them.

Wire: ``ContentBlock`` and ``RawMessageStreamEvent`` of the ``anthropic`` package;
https://platform.claude.com/docs/en/build-with-claude/streaming. One state machine makes both: what its events add up to
is the whole content, so a stream and a body cannot differ.
"""

import json
from collections.abc import Iterator

from agproxy.chat import (
    Citation,
    Event,
    ImageDelta,
    ReasoningDelta,
    Searched,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from agproxy.protocols.fields import Body
from agproxy.protocols.seals import seal

_MAX_CITED = 150  # characters of an answer's text that a citation quotes, as Anthropic's do


class Output:
    """Blocks, one after the other: each is closed before the next begins, and their indexes have no gap.

    :param message_id: ids of searches hold its random part.
    :param thinks: the client takes thinking blocks. The signature of a call goes into the one before it.
    :ivar content: the blocks that are closed.
    :ivar searches: how often the web was searched.
    """

    def __init__(self, message_id: str, *, thinks: bool) -> None:
        self._token = message_id.rpartition("_")[2]
        self.content: list[Body] = []
        self.searches = 0
        self._thinks = thinks
        self._block: Body | None = None
        self._pieces: list[str] = []  # of the open block
        self._call = -1  # the number of the call that is open
        self._waiting: list[Event] = []  # what came before the open call was whole
        self._said: list[str] = []  # all text so far

    def goes_on(self, text: str) -> bool:
        """Take more text into the open block, if it is one of text, as for nearly all events of nearly all streams."""
        if not text or self._block is None or self._block["type"] != "text" or "citations" in self._block:
            return False
        self._said.append(text)
        self._pieces.append(text)
        return True

    def add(self, event: Event) -> Iterator[Body]:
        """The stream's events that come of one event of the answer. What comes within a call waits for its end."""
        if isinstance(event, ToolCallDelta) and event.index == self._call:
            if event.arguments:
                yield self._delta("input_json_delta", "partial_json", event.arguments)
            if self._waiting and not self._is_calling():
                yield from self._resume()
        elif self._waiting or self._is_calling():
            self._waiting.append(event)
        else:
            yield from self._add(event)

    def _add(self, event: Event) -> Iterator[Body]:
        match event:
            case TextDelta() if event.text:
                yield from self._text(event.text)
            case ReasoningDelta() if event.text and self._thinks:
                yield from self._open({"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta("thinking_delta", "thinking", event.text)
            case ToolCallStart():
                yield from self._begin(event)
            case ImageDelta():  # Claude makes no files, so that there is no block for them
                kind = event.media_type.partition("/")[0]
                mark = "!" if kind == "image" else ""
                yield from self._text(f"\n{mark}[{kind}](data:{event.media_type};base64,{event.base64})\n")
            case Citation():
                yield from self._cite(event)
            case Searched():
                yield from self._search(event)

    def finish(self) -> Iterator[Body]:
        """Close what is open, calls too that were cut short."""
        while self._waiting:
            yield from self._close()
            yield from self._resume()
        yield from self._close()

    def _resume(self) -> Iterator[Body]:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            yield from self.add(event)

    # Blocks.

    def _open(self, block: Body) -> Iterator[Body]:
        """Begin a block, unless one of its kind that goes on is open."""
        if self._block is not None and self._block["type"] == block["type"] and block["type"] != "tool_use":
            return
        yield from self._close()
        self._block = block
        yield {"type": "content_block_start", "index": len(self.content), "content_block": block}

    def _delta(self, kind: str, name: str, piece: str) -> Body:
        self._pieces.append(piece)
        return {"type": "content_block_delta", "index": len(self.content), "delta": {"type": kind, name: piece}}

    def _close(self) -> Iterator[Body]:
        block, self._block = self._block, None
        self._call = -1
        if block is None:
            return
        index = len(self.content)
        if block["type"] == "thinking" and not block["signature"]:
            yield self._signed(block, seal({}))  # which clients miss where there is none
        pieces, self._pieces = "".join(self._pieces), []
        match block["type"]:
            case "text":
                whole = {**block, "text": pieces}
            case "thinking":
                whole = {**block, "thinking": pieces}
            case "tool_use":
                whole = {**block, "input": _object(pieces)}
            case _:
                whole = block
        self.content.append(whole)
        yield {"type": "content_block_stop", "index": index}

    def _text(self, text: str) -> Iterator[Body]:
        yield from self._open({"type": "text", "text": ""})
        self._said.append(text)
        yield self._delta("text_delta", "text", text)

    def _signed(self, block: Body, signature: str) -> Body:
        block["signature"] = signature
        delta = {"type": "signature_delta", "signature": signature}
        return {"type": "content_block_delta", "index": len(self.content), "delta": delta}

    # Calls.

    def _begin(self, start: ToolCallStart) -> Iterator[Body]:
        if start.provider_metadata and self._thinks and (self._block is None or self._block["type"] != "tool_use"):
            if self._block is None or self._block["type"] != "thinking":
                yield from self._close()
                self._block = {"type": "thinking", "thinking": "", "signature": ""}
                yield {"type": "content_block_start", "index": len(self.content), "content_block": self._block}
            yield self._signed(self._block, seal({start.id: start.provider_metadata}))
        yield from self._close()
        self._call = start.index
        self._block = {"type": "tool_use", "id": start.id, "name": start.name, "input": {}}
        yield {"type": "content_block_start", "index": len(self.content), "content_block": self._block}

    def _is_calling(self) -> bool:
        """Whether a call is open of whose arguments more may come."""
        if self._block is None or self._block["type"] != "tool_use":
            return False
        try:
            json.loads("".join(self._pieces))
        except ValueError:
            return True
        return False

    # What was found on the web.

    def _cite(self, citation: Citation) -> Iterator[Body]:
        """Citations come after the text, and so stand at its last block; at one of their own where that is closed."""
        if not self._said:
            return
        if self._block is None or self._block["type"] != "text":
            yield from self._open({"type": "text", "text": ""})
            yield self._delta("text_delta", "text", "Sources:")  # no API takes back a text without words
        assert self._block is not None  # noqa: S101 (just opened)
        cited = "".join(self._said)[citation.start : citation.end][:_MAX_CITED]
        location = {
            "type": "web_search_result_location",
            "cited_text": cited,
            "url": citation.url,
            "title": citation.title,
            "encrypted_index": "",
        }
        self._block["citations"] = [*self._block.get("citations", ()), location]
        delta = {"type": "citations_delta", "citation": location}
        yield {"type": "content_block_delta", "index": len(self.content), "delta": delta}

    def _search(self, event: Searched) -> Iterator[Body]:
        """A search as Claude's own tool tells it; Gemini says only at the end of its answer that there was one."""
        yield from self._close()
        self.searches += max(1, len(event.queries))
        search_id = f"srvtoolu_{self._token}_{len(self.content)}"
        query = {"query": "; ".join(event.queries)}
        yield from self._whole({"type": "server_tool_use", "id": search_id, "name": "web_search", "input": query})
        found = [
            {"type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": None}
            for url, title in zip(event.urls, event.titles or event.urls, strict=True)
        ]
        yield from self._whole({"type": "web_search_tool_result", "tool_use_id": search_id, "content": found})

    def _whole(self, block: Body) -> Iterator[Body]:
        """A block that comes at once. The input of a tool is streamed all the same, for clients put it together."""
        index = len(self.content)
        self.content.append(block)
        is_call = "input" in block
        yield {
            "type": "content_block_start",
            "index": index,
            "content_block": {**block, "input": {}} if is_call else block,
        }
        if is_call:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"], ensure_ascii=False)}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


def _object(arguments: str) -> Body:
    """The input of a call; what is no object, for it was cut short, is told as text."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"input": value}

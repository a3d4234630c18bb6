"""Answers that Google's search bears out: ``groundingMetadata`` with offsets in bytes.

Wire: GroundingMetadata and Segment of generative_service.proto and content.proto: "measured in bytes", from the start
of the part that ``partIndex`` names; ``startIndex`` and ``partIndex`` are left out when they are 0, as protobuf's JSON
leaves out defaults. Where the metadata comes: BerriAI/litellm issue 41492 (often in a chunk without content),
laravel/ai pull 912 (a chunk of usage alone may follow it).
"""

import re
from dataclasses import replace

from tests.fake_google.refusal import JsonObject
from tests.fake_google.script import Answer, Chunk, Usage, text

PAGES = ("https://example.com/a", "https://example.com/b")
_MARKED = re.compile(r"\[\[(.+?)\|([\d,]+)\]\]", re.DOTALL)


def grounded(
    marked: str,
    *,
    pages: tuple[str, ...] = PAGES,
    part: int = 0,
    piece: int = 0,
    apart: bool = False,
    tail: bool = False,
    usage: Usage | None = None,
) -> Answer:
    """Text in which spans are borne out by pages: ``grounded("Es hat [[18 Grad|0]] und [[regnet|0,1]].")``.

    :param pages: addresses; the title of each is its last word.
    :param part: number of the part, among those of the whole answer, that holds the text.
    :param piece: characters an event; 0 = all in one.
    :param apart: the metadata and the finishReason come in a candidate without content.
    :param tail: an event with usage alone comes last.
    """
    plain, supports = "", []
    position = 0
    for match in _MARKED.finditer(marked):
        plain += marked[position : match.start()]
        start = len(plain.encode())
        plain += match[1]
        segment: JsonObject = {"startIndex": start} if start else {}
        segment |= {"partIndex": part} if part else {}
        segment |= {"endIndex": len(plain.encode()), "text": match[1]}
        supports.append({"segment": segment, "groundingChunkIndices": [int(index) for index in match[2].split(",")]})
        position = match.end()
    plain += marked[position:]
    metadata: JsonObject = {
        "webSearchQueries": ["what the user asked"],
        "searchEntryPoint": {"renderedContent": "<div>what the user asked</div>"},
        "groundingChunks": [{"web": {"uri": page, "title": page.rpartition("/")[2]}} for page in pages],
        "groundingSupports": supports,
    }
    size = piece or len(plain)
    answer = text(*[plain[start : start + size] for start in range(0, len(plain), size)], usage=usage)
    *chunks, last = answer.chunks
    if apart:
        chunks.append(replace(last, finish=None))
        last = Chunk(finish=last.finish, has_content=False)
    chunks.append(replace(last, candidate={"groundingMetadata": metadata}))
    if tail:
        chunks.append(Chunk(has_candidate=False))
    return replace(answer, chunks=tuple(chunks))

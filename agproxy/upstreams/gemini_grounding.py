"""What Google's search bears out of an answer, as citations.

Wire: ``GroundingMetadata`` of google/ai/generativelanguage/v1beta in googleapis/googleapis;
https://ai.google.dev/gemini-api/docs/google-search.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agproxy.chat import Citation, Searched


def citations(grounding: Mapping[str, Any], texts: Sequence[tuple[int, str]]) -> Iterator[Citation]:
    """Yield the citations of one answer, in the order of its text.

    Google counts bytes of UTF-8, from the start of a part (``Segment``) or, in a stream, of the whole text: the
    segment's own words tell which. A page that bears out no segment in particular stands at the end of the text. What
    makes no sense is left out: the answer is no worse for it.

    :param texts: the pieces of the answer's text, each with the number of its part in the chunk that brought it.
    """
    pages = [_page(entry) for entry in _list(grounding.get("groundingChunks"))]
    text = _Text(texts)
    found: dict[tuple[int, int, int], Citation] = {}
    cited: set[int] = set()
    for support in map(_object, _list(grounding.get("groundingSupports"))):
        start, end = text.range(_object(support.get("segment")))
        for index in _list(support.get("groundingChunkIndices")):
            if isinstance(index, int) and 0 <= index < len(pages) and (page := pages[index]):
                cited.add(index)
                found.setdefault((start, end, index), Citation(*page, start=start, end=end))
    for index, page in enumerate(pages):
        if page and index not in cited:
            found[text.length, text.length, index] = Citation(*page, start=text.length, end=text.length)
    yield from (found[key] for key in sorted(found))


def searched(grounding: Mapping[str, Any]) -> Searched | None:
    """What was searched for and found, or None when nothing was."""
    queries = tuple(query for query in _list(grounding.get("webSearchQueries")) if isinstance(query, str))
    pages: dict[str, str] = {}
    for entry in _list(grounding.get("groundingChunks")):
        if page := _page(entry):
            pages.setdefault(*page)
    return Searched(queries, tuple(pages), tuple(pages.values())) if queries or pages else None


def _page(entry: object) -> tuple[str, str] | None:
    """URL and title."""
    holder = _object(entry)
    page = next((found for kind in _KINDS if (found := _object(holder.get(kind)))), {})
    url = page.get("uri")
    return (url, str(page.get("title") or page.get("domain") or url)) if isinstance(url, str) and url else None


_KINDS = ("web", "retrievedContext", "maps")


class _Text:
    """An answer's text, in bytes and in characters."""

    def __init__(self, texts: Sequence[tuple[int, str]]) -> None:
        self._starts: dict[int, int] = {}  # byte at which a part begins
        self._encoded = bytearray()
        for part, text in texts:
            self._starts.setdefault(part, len(self._encoded))
            self._encoded += text.encode()
        self.length = self._characters(len(self._encoded))

    def range(self, segment: Mapping[str, Any]) -> tuple[int, int]:
        """Start and end of a segment in characters; ``startIndex`` and ``partIndex`` are left out when they are 0."""
        start, end = _count(segment.get("startIndex")), _count(segment.get("endIndex"))
        words = segment.get("text")
        said = words.encode() if isinstance(words, str) else b""
        base = self._starts.get(_count(segment.get("partIndex")), 0)
        for offset in (0, base):
            if said and self._encoded[start + offset : end + offset] == said:
                return self._characters(start + offset), self._characters(end + offset)
        at = self._encoded.find(said) if said else -1
        if at >= 0:
            return self._characters(at), self._characters(at + len(said))
        return self._characters(start + base), self._characters(max(start, end) + base)

    def _characters(self, offset: int) -> int:
        """How many characters the first ``offset`` bytes are; one that they cut in two does not count."""
        return len(self._encoded[:offset].decode("utf-8", "ignore"))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0

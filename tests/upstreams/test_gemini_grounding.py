"""Google's sources as citations: bytes become characters, and nonsense does no harm."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agproxy.chat import Citation, Searched
from agproxy.upstreams.gemini_grounding import citations, searched

URL = "https://example.com/"


def grounding(*supports: dict[str, Any], pages: str = "ab") -> dict[str, Any]:
    found = [{"web": {"uri": URL + page, "title": page.upper()}} for page in pages]
    return {"groundingChunks": found, "groundingSupports": list(supports)}


def support(segment: dict[str, Any], *pages: int) -> dict[str, Any]:
    return {"segment": segment, "groundingChunkIndices": list(pages or (0,))}


def cited(metadata: dict[str, Any], *texts: str | tuple[int, str]) -> list[tuple[str, str]]:
    """Each citation's page, and the words that it stands on."""
    pieces = [(0, text) if isinstance(text, str) else text for text in texts]
    whole = "".join(text for _, text in pieces)
    return [(each.url.removeprefix(URL), whole[each.start : each.end]) for each in citations(metadata, pieces)]


def in_bytes(text: str, words: str, **more: Any) -> dict[str, Any]:
    """The segment of ``words`` in ``text``, as Google has it."""
    before = text[: text.index(words)]
    start = {"startIndex": len(before.encode())} if before else {}
    return {**start, "endIndex": len((before + words).encode()), "text": words, **more}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Plain words here.", "words"),
        ("Größe und Höhe über NN", "Höhe"),
        ("🎉🎉 party 🎉 time", "time"),
        ("👩‍👩‍👧 family of 👍🏽", "👍🏽"),
        ("世界は広い。空も広い", "空も"),
        ("e\u0301 combined", "combined"),
        ("starts here", "starts"),
        ("all of it ✓", "all of it ✓"),
    ],
)
@pytest.mark.parametrize("with_words", [True, False], ids=["with words", "offsets alone"])
def test_bytes_become_characters(text: str, words: str, with_words: bool) -> None:
    segment = in_bytes(text, words)
    if not with_words:
        del segment["text"]
    assert cited(grounding(support(segment), pages="a"), text) == [("a", words)]


def test_what_a_citation_says() -> None:
    metadata = grounding(support({"startIndex": 3, "endIndex": 5}, 1))
    assert next(citations(metadata, [(0, "Ah, so")])) == Citation(URL + "b", "B", 3, 5)


def test_missing_start_is_the_beginning() -> None:
    assert cited(grounding(support({"endIndex": 6, "text": "Größ"}), pages="a"), "Größe") == [("a", "Größ")]


def test_several_pages_of_one_segment_are_a_citation_each() -> None:
    assert cited(grounding(support(in_bytes("ab cd", "cd"), 1, 0)), "ab cd") == [("a", "cd"), ("b", "cd")]


def test_citations_come_in_the_order_of_the_text() -> None:
    text = "one two three"
    supports = [support(in_bytes(text, word), index) for index, word in enumerate(("three", "one"))]
    assert cited(grounding(*supports), text) == [("b", "one"), ("a", "three")]


def test_a_segment_that_is_told_twice_is_cited_once() -> None:
    same = support(in_bytes("ab cd", "cd"))
    assert cited(grounding(same, same, pages="a"), "ab cd") == [("a", "cd")]


class TestParts:
    def test_offsets_count_from_the_part_that_is_named(self) -> None:
        second = "Zwölf Äpfel"
        segment = in_bytes(second, "Äpfel", partIndex=1)
        assert cited(grounding(support(segment), pages="a"), (0, "Über uns: "), (1, second)) == [("a", "Äpfel")]

    def test_words_of_the_named_part_count_more_than_earlier_ones_like_them(self) -> None:
        segment = in_bytes("Zwölf Äpfel", "Äpfel", partIndex=1)
        found = list(citations(grounding(support(segment), pages="a"), [(0, "Äpfel? "), (1, "Zwölf Äpfel")]))
        assert [(each.start, each.end) for each in found] == [(13, 18)]

    def test_part_after_a_thought_is_the_first_of_the_text(self) -> None:
        segment = in_bytes("Zwölf Äpfel", "Äpfel", partIndex=1)
        assert cited(grounding(support(segment), pages="a"), (1, "Zwölf Äpfel")) == [("a", "Äpfel")]

    def test_in_a_stream_offsets_count_from_the_start_of_it_all(self) -> None:
        pieces = ("Zwö", "lf Äp", "fel für ", "Köln")
        segment = in_bytes("".join(pieces), "Äpfel für")
        assert cited(grounding(support(segment), pages="a"), *pieces) == [("a", "Äpfel für")]

    def test_in_a_stream_the_part_may_be_that_of_the_joined_answer(self) -> None:
        """The thought is part 0, all the text part 1; but each chunk numbers its own parts from 0."""
        pieces = ("Zwölf ", "Äpfel")
        segment = in_bytes("".join(pieces), "Äpfel", partIndex=1)
        assert cited(grounding(support(segment), pages="a"), *pieces) == [("a", "Äpfel")]

    def test_offsets_without_words_count_from_the_named_part_when_there_is_one(self) -> None:
        segment = {"startIndex": 1, "endIndex": 2, "partIndex": 1}
        (citation,) = citations(grounding(support(segment), pages="a"), [(0, "abc"), (1, "def")])
        assert (citation.start, citation.end) == (4, 5)


class TestOffsetsThatAreOff:
    def test_words_are_looked_for(self) -> None:
        segment = {"startIndex": 40, "endIndex": 46, "text": "Äpfel"}
        assert cited(grounding(support(segment), pages="a"), "Zwölf Äpfel") == [("a", "Äpfel")]

    def test_words_at_their_place_count_more_than_the_first_ones_like_them(self) -> None:
        text = "ja und ja"
        (citation,) = citations(
            grounding(support({"startIndex": 7, "endIndex": 9, "text": "ja"}), pages="a"), [(0, text)]
        )
        assert (citation.start, citation.end) == (7, 9)

    @pytest.mark.parametrize(
        ("segment", "words"),
        [
            ({"startIndex": 2, "endIndex": 99}, "rt"),
            ({"startIndex": 50, "endIndex": 99}, ""),
            ({"startIndex": 3, "endIndex": 1}, ""),
            ({"startIndex": -4, "endIndex": 2}, "Ku"),
            ({"startIndex": "1", "endIndex": None}, ""),
            ({"startIndex": 0, "endIndex": 2, "text": "not in it"}, "Ku"),
            ({}, ""),
        ],
    )
    def test_that_stay_so_are_kept_within_the_text(self, segment: dict[str, Any], words: str) -> None:
        assert cited(grounding(support(segment), pages="a"), "Kurt") == [("a", words)]

    def test_half_a_character_does_not_count(self) -> None:
        assert cited(grounding(support({"startIndex": 1, "endIndex": 4}), pages="a"), "aüb") == [("a", "üb")]
        assert cited(grounding(support({"startIndex": 0, "endIndex": 2}), pages="a"), "aüb") == [("a", "a")]


class TestPages:
    def test_that_bear_out_nothing_in_particular_stand_at_the_end(self) -> None:
        metadata = grounding(support(in_bytes("ab cd", "ab"), 1), pages="abc")
        assert [(each.url[-1], each.start, each.end) for each in citations(metadata, [(0, "ab cd 🎉")])] == [
            ("b", 0, 2),
            ("a", 7, 7),
            ("c", 7, 7),
        ]

    @pytest.mark.parametrize("index", [-1, 2, 99, "0", None, 1.5, [0]])
    def test_that_do_not_exist_are_left_out(self, index: Any) -> None:
        metadata = {
            **grounding(),
            "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [index]}],
        }
        assert [each.start for each in citations(metadata, [(0, "ab")])] == [2, 2]

    @pytest.mark.parametrize(
        ("page", "url", "title"),
        [
            ({"web": {"uri": "u", "title": "t"}}, "u", "t"),
            ({"web": {"uri": "u", "domain": "example.com"}}, "u", "example.com"),
            ({"web": {"uri": "u"}}, "u", "u"),
            ({"retrievedContext": {"uri": "u", "title": "t"}}, "u", "t"),
            ({"maps": {"uri": "u", "title": "t"}}, "u", "t"),
        ],
    )
    def test_of_every_kind(self, page: dict[str, Any], url: str, title: str) -> None:
        (citation,) = citations({"groundingChunks": [page]}, [(0, "x")])
        assert (citation.url, citation.title) == (url, title)

    @pytest.mark.parametrize("page", [{}, {"web": {}}, {"web": {"title": "t"}}, {"web": {"uri": 5}}, {"web": "x"}, "x"])
    def test_without_an_address_are_left_out(self, page: Any) -> None:
        assert list(citations({"groundingChunks": [page]}, [(0, "x")])) == []


NAMES = ["groundingChunks", "groundingSupports", "segment", "groundingChunkIndices", "startIndex", "endIndex", "web"]
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "partIndex", "text", "uri", "title"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING), st.lists(st.tuples(st.integers(0, 2), st.text(max_size=4))))
def test_nonsense_does_no_harm(metadata: dict[str, Any], texts: list[tuple[int, str]]) -> None:
    length = sum(len(text) for _, text in texts)
    texts = [(part, text.encode("utf-8", "ignore").decode()) for part, text in texts]
    assert all(0 <= each.start <= each.end <= length for each in citations(metadata, texts))


@pytest.mark.parametrize(
    "metadata",
    [
        {"groundingChunks": "x"},
        {"groundingChunks": {"a": 1}},
        {"groundingChunks": [{"web": {"uri": "u"}}], "groundingSupports": [None, "x", 5, []]},
        {
            "groundingChunks": [{"web": {"uri": "u"}}],
            "groundingSupports": [{"segment": "x", "groundingChunkIndices": 0}],
        },
    ],
)
def test_metadata_of_another_form_gives_what_it_can(metadata: dict[str, Any]) -> None:
    pages = [each.url for each in citations(metadata, [(0, "text")])]
    assert pages == (["u"] if isinstance(metadata["groundingChunks"], list) else [])


class TestSearch:
    def test_queries_and_pages_are_told(self) -> None:
        metadata = {**grounding(pages="aba"), "webSearchQueries": ["wetter", "weather"]}
        assert searched(metadata) == Searched(("wetter", "weather"), (f"{URL}a", f"{URL}b"), ("A", "B"))

    def test_pages_alone_are_a_search(self) -> None:
        assert searched(grounding(pages="a")) == Searched((), (f"{URL}a",), ("A",))

    @pytest.mark.parametrize("metadata", [{}, {"webSearchQueries": []}, {"webSearchQueries": [None, 3], "x": 1}])
    def test_nothing_searched_is_no_search(self, metadata: dict[str, Any]) -> None:
        assert searched(metadata) is None

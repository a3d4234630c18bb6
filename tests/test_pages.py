"""The HTML pages: everything in them is text, and nothing is loaded."""

import re
from html.parser import HTMLParser

from agproxy.pages import page


class Reader(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "action", "srcset", "onload", "onerror"}

    def handle_data(self, data: str) -> None:
        self.words += data


EVIL = "<script>alert(1)</script><img src=x onerror=y>\"'&"


def test_page_holds_its_texts() -> None:
    read = Reader(page("Title", "Message", root_url="http://x/p/", bases=[("OpenAI clients", "http://x/p/v1")]))
    for words in ("Title", "Message.", "OpenAI clients", "http://x/p/v1", "curl http://x/p/v1/chat/completions -H"):
        assert words in read.words


def test_everything_is_escaped() -> None:
    read = Reader(page(EVIL, EVIL, root_url=EVIL, bases=[(EVIL, EVIL)]))
    assert not {"script", "img", "a", "link", "iframe", "form"} & set(read.tags)
    assert read.words.count(EVIL) == 6


def test_nothing_is_loaded() -> None:
    text = page("Title", "Message", root_url="http://x/", bases=[])
    assert not re.search(r"url\(|@import|src=|href=", text)

"""Files given by an address: which are sent on to Google, and each refusal in its own words."""

import pytest

from agproxy.chat import AttachmentPart
from agproxy.protocols.attachments import attachment
from tests.protocols.test_attachments import refusal


def linked(url: str, media_type: str = "", *, what: str = "file", name: str = "") -> AttachmentPart:
    return attachment(url, media_type, what=what, param="p", name=name)


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/cat", "HTTPS://EXAMPLE.COM/cat", "https://example.com", "https://example.com?a=b"),
        *("https://example.com:8443/cat", "https://example.com./cat", "https://a.b.c.example.co.uk/cat"),
        *("https://xn--mnchen-3ya.de/cat", "https://example.xn--p1ai/cat", "https://1.2.3.4.example.com/cat"),
        *("https://my_bucket.example.com/cat", "https://local.example.com/", "https://localhost.example.com/"),
        *(
            "https://example.com/b%C3%BCcher",
            "https://example.com/a?url=http://localhost/&b=c@d#e",
            "https://e.co/" + 2000 * "x",
        ),
        *("https://www.youtube.com/watch?v=abc", "https://youtu.be/abc"),
        "https://generativelanguage.googleapis.com/v1beta/files/abc",
    ],
)
def test_public_address_is_sent_on_as_it_is(url: str) -> None:
    assert linked(url, what="video") == AttachmentPart("", url=url)


def test_space_around_an_address_is_taken_off() -> None:
    assert linked(" https://example.com/a.png\n", what="image").url == "https://example.com/a.png"


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("https://example.com/a.png", "image/png"),
        ("https://example.com/a.JPG", "image/jpeg"),
        ("https://example.com/a.jpeg?w=100&h=a.gif", "image/jpeg"),
        ("https://example.com/a.pdf#page=2", "application/pdf"),
        ("https://example.com/a%2Epdf", "application/pdf"),
        ("https://example.com/a.b/c.mov", "video/mov"),
        ("https://example.com/a.mp3", "audio/mp3"),
        ("https://example.com/a.csv", "text/csv"),
        ("https://example.com/a", ""),
        ("https://example.com/", ""),
        ("https://example.pdf/", ""),
        ("https://example.com/get?file=a.png", ""),
        ("https://example.com/a.png/raw", ""),
        ("https://example.com/.png", "image/png"),
        ("https://example.com/a.docx", ""),  # newer models take some
        ("https://example.com/a.", ""),
    ],
)
def test_type_of_an_address_is_its_paths_extension(url: str, media_type: str) -> None:
    assert linked(url) == AttachmentPart(media_type, url=url)


@pytest.mark.parametrize(
    ("path", "name", "declared", "media_type"),
    [
        ("a.png", "b.pdf", "image/jpeg", "image/png"),
        ("a", "b.pdf", "image/jpeg", "application/pdf"),
        ("a", "b", "image/jpg", "image/jpeg"),
        ("a", "", "mp4", "video/mp4"),
        ("a", "", "application/json", "application/json"),
        ("a", "", "application/octet-stream", ""),
    ],
)
def test_address_that_tells_no_type_has_that_of_its_name_or_the_declared_one(
    path: str, name: str, declared: str, media_type: str
) -> None:
    assert linked(f"https://example.com/{path}", declared, name=name).media_type == media_type


@pytest.mark.parametrize(
    ("url", "declared", "what"),
    [
        ("https://example.com/a.gif", "", "image"),
        ("https://example.com/a.gif", "image/png", "file"),
        ("https://example.com/a", "image/gif", "image"),
        ("https://example.com/a", "application/zip", "file"),
        ("https://example.com/a.html", "", "image"),
        ("https://example.com/a.txt", "", "video"),
    ],
)
def test_address_of_a_type_that_gemini_refuses_is_refused(url: str, declared: str, what: str) -> None:
    error = refusal(url, declared, what=what)
    assert f"Gemini does not take {what}" in error.message
    assert error.code == f"invalid_{what}"


NOT_HTTPS = [
    *("http://example.com/a.png", "HTTP://example.com/a.png", "ftp://example.com/a.png", "gs://bucket/a.png"),
    *(
        "file:///etc/passwd",
        "file://server/a.png",
        "C:\\a.png",
        "c:/a.png",
        "blob:https://a.b/c",
        "javascript:alert(1)",
    ),
    *("//example.com:80/", "example.com:443/a.png", "s3://bucket/a.png", "about:blank", "urn:a:b", ":", "::", "a:"),
]
NOT_PUBLIC = [
    # Addresses, in every notation that resolvers take, and what is no name at all.
    *(
        "1.2.3.4",
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
    ),
    *("1.2.3.0x4", "[::1]", "[::ffff:1.2.3.4]", "[::ffff:7f00:1]", "[fe80::1%25eth0]", "[2001:db8::1]", "0", "1.2.3"),
    *("", ".", "..", "example.com..", ".com", "a..com", "example.c", "example.123", "exa%6dple.com", "a." + 64 * "x"),
    *("-a.com", "*.com", "a,b.com", "127.0.0.1:8080", "[::1]:8080", "5", "8ball"),
]
LOCAL = [
    *("localhost", "LOCALHOST", "localhost.", "localhost:8080", "a.localhost", "box", "nas", "nas.local", "NAS.Local."),
    *("a.internal", "metadata.google.internal", "x.lan", "router.home", "router.home.arpa", "home.arpa", "a.corp"),
    *("a.intranet", "a.private", "a.localdomain", "a.test", "a.example", "a.invalid", "a.onion", "a-b_c"),
]
NOT_A_URL_TEXT = [
    *("https://example.com/a b.png", "https://example.com/\x00", "https://example.com/a\tb", "https://exam\nple.com/"),
    *("https://example.com/\x7f", "https://example.com\\@a.b/", "https://example.com/\\..", "https://münchen.de/"),
    *("https://example.com/bücher.png", "https://例え.jp/", "https://example。com/", "https://\u212aelvin.com/"),
    *("https://example.com/\ud800", "https://example.com/\u2028a", "https://127。0。0。1/"),
]


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        pytest.param(NOT_HTTPS, "Google fetches https addresses only", id="not-https"),
        pytest.param([f"https://{host}/a.png" for host in NOT_PUBLIC], "not a public host name", id="not-public"),
        pytest.param(["https:a.png", "https:/a.png", "https:"], "not a public host name", id="no-host"),
        pytest.param([f"https://{host}/a.png" for host in LOCAL], "is a local name", id="local"),
        pytest.param(
            ["https://a:b@example.com/", "https://a@example.com/", "https://@example.com/", "https://:@example.com/"],
            "a user name or password",
            id="user-info",
        ),
        pytest.param(NOT_A_URL_TEXT, "characters that a URL cannot hold", id="characters"),
        pytest.param(
            ["https://[", "https://]/", "https://[::1/", "https://a.com:b/", "https://a.com:99999/"],
            "it is no URL",
            id="no-url",
        ),
        pytest.param([f"https://example.com/{8173 * 'x'}", "x:" + 9000 * "y"], "longer than 8192", id="long"),
    ],
)
def test_address_that_google_cannot_fetch_is_refused_in_words_of_its_own(urls: list[str], words: str) -> None:
    for url in urls:
        error = refusal(url)
        assert words in error.message, url
        assert "send it inline instead, as data:image/png;base64," in error.message
        assert error.code == "invalid_image_url"


@pytest.mark.parametrize(
    ("what", "example"),
    [("image", "image/png"), ("audio", "audio/wav"), ("video", "video/mp4"), ("file", "application/pdf")],
)
def test_refused_address_tells_how_its_kind_is_sent_inline(what: str, example: str) -> None:
    error = refusal("http://example.com/", what=what)
    assert f"the {what} cannot" in error.message
    assert f"data:{example};base64," in error.message
    assert error.code == f"invalid_{what}_url"


def test_address_of_the_greatest_length_is_taken() -> None:
    url = "https://example.com/".ljust(8192, "x")
    assert linked(url).url == url

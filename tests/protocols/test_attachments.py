"""Files in a request: what becomes a part, by what their type is known, and each refusal in its own words."""

import base64
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import AttachmentPart
from agproxy.errors import BadRequest
from agproxy.protocols.attachments import attachment

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"
WAV = b"RIFF\x24\0\0\0WAVEfmt "
AVI = b"RIFF\x24\0\0\0AVI LIST"
AIFF = b"FORM\0\0\0\x10AIFFCOMM"
MP3 = b"\xff\xfb\x90\x64\0\0"
TAGGED_MP3 = b"ID3\x04\0\0\0\0"
AAC = b"\xff\xf1\x50\x80\0\0"
FLAC = b"fLaC\0\0\0\x22"
OGG = b"OggS\0\x02\0\0"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
DOCX = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\xff"
OTHER = b"\xfb\xef\xbe\xfb\xff\xfe"  # of no known kind, and no text; its base64 is full of + and /
KINDS = ("image", "audio", "video", "file")
OFFICE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def inline(content: bytes, media_type: str = "", *, what: str, name: str = "") -> AttachmentPart:
    return attachment(encoded(content), media_type, what=what, param="p", name=name)


def refusal(source: str, media_type: str = "", *, what: str = "image", name: str = "") -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        attachment(source, media_type, what=what, param="p", name=name)
    assert caught.value.param == "p"
    assert len(caught.value.message) < 300
    assert "\n" not in caught.value.message
    return caught.value


# The type of inline content: the bytes, then the name, then what was declared.


@pytest.mark.parametrize(
    ("declared", "content", "media_type"),
    [
        ("image/png", PNG, "image/png"),
        ("image/jpeg", JPEG, "image/jpeg"),
        ("image/webp", WEBP, "image/webp"),
        ("image/heic", HEIC, "image/heic"),
        ("image/png", JPEG, "image/jpeg"),
        ("image/gif", PNG, "image/png"),
        ("application/octet-stream", WEBP, "image/webp"),
        ("text/html", PNG, "image/png"),
        ("", PNG, "image/png"),
        ("image/jpg", JPEG, "image/jpeg"),
        ("image/jpg", OTHER, "image/jpeg"),
        ("image/pjpeg", OTHER, "image/jpeg"),
        ("IMAGE/PNG", OTHER, "image/png"),
        ("image/png; charset=binary", OTHER, "image/png"),
        ("image/heif", OTHER, "image/heif"),
        ("image/png", PDF, "application/pdf"),  # some clients have no other field for documents
        ("application/pdf", OTHER, "application/pdf"),
    ],
)
def test_type_of_an_image_is_read_from_its_bytes_first(declared: str, content: bytes, media_type: str) -> None:
    assert inline(content, declared, what="image") == AttachmentPart(media_type, encoded(content))


@pytest.mark.parametrize(
    ("declared", "content", "media_type"),
    [
        ("wav", WAV, "audio/wav"),
        ("mp3", MP3, "audio/mp3"),
        ("mp3", TAGGED_MP3, "audio/mp3"),
        ("MP3", OTHER, "audio/mp3"),
        ("wav", MP3, "audio/mp3"),
        ("mp3", AAC, "audio/aac"),
        ("mp3", WAV, "audio/wav"),
        ("wav", OGG, "audio/ogg"),
        ("opus", OTHER, "audio/ogg"),
        ("flac", OTHER, "audio/flac"),
        ("", FLAC, "audio/flac"),
        ("aiff", AIFF, "audio/aiff"),
        ("", AIFF, "audio/aiff"),
        ("aac", OTHER, "audio/aac"),
        ("m4a", OTHER, "audio/m4a"),
        ("audio/mpeg", OTHER, "audio/mp3"),
        ("audio/x-wav", OTHER, "audio/wav"),
        ("audio/mp4", OTHER, "audio/m4a"),
    ],
)
def test_type_of_audio_is_a_format_word_or_in_its_bytes(declared: str, content: bytes, media_type: str) -> None:
    assert inline(content, declared, what="audio") == AttachmentPart(media_type, encoded(content))


@pytest.mark.parametrize(
    ("declared", "content", "media_type"),
    [
        ("video/mp4", OTHER, "video/mp4"),
        ("mp4", OTHER, "video/mp4"),
        ("video/quicktime", OTHER, "video/mov"),
        ("video/x-msvideo", OTHER, "video/avi"),
        ("video/mp4", AVI, "video/avi"),
        ("video/webm", OTHER, "video/webm"),
        ("3gp", OTHER, "video/3gpp"),
    ],
)
def test_type_of_a_video(declared: str, content: bytes, media_type: str) -> None:
    assert inline(content, declared, what="video") == AttachmentPart(media_type, encoded(content))


@pytest.mark.parametrize(
    ("declared", "name", "content", "media_type"),
    [
        ("application/pdf", "a.pdf", PDF, "application/pdf"),
        ("", "", PDF, "application/pdf"),
        ("text/plain", "a.txt", PDF, "application/pdf"),
        ("application/x-pdf", "", OTHER, "application/pdf"),
        ("", "a.PDF", OTHER, "application/pdf"),
        ("application/octet-stream", "a.pdf", OTHER, "application/pdf"),
        ("", "a.png", PNG, "image/png"),
        ("", "talk.mp3", OTHER, "audio/mp3"),
        ("text/plain", "clip.mp4", OTHER, "video/mp4"),
        ("", "", b"Hello", "text/plain"),
        ("text/plain", "notes.csv", b"a,b\n1,2\n", "text/csv"),
        ("text/csv", "", b"a,b\n1,2\n", "text/csv"),
        ("application/vnd.ms-excel", "a.csv", b"a,b\n", "text/csv"),  # what Windows says of a CSV
        ("text/markdown", "README.md", "# Grüße".encode(), "text/plain"),
        ("application/json", "a.json", b'{"a": 1}', "text/plain"),
        ("", "main.py", b"print(1)\n", "text/plain"),
        ("video/mp2t", "main.ts", b"let a = 1;\n", "text/plain"),  # what browsers say of TypeScript
        ("", "Makefile", b"all:\n", "text/plain"),
        ("", "page.html", b"<p>", "text/html"),
        ("application/xml", "", b"<a/>", "text/xml"),
        ("application/javascript", "", b"let a;", "text/javascript"),
        ("image/svg+xml", "a.svg", b"<svg/>", "text/plain"),
        ("text/plain; charset=utf-8", "", b"\xef\xbb\xbfHello", "text/plain"),
    ],
)
def test_type_of_a_file(declared: str, name: str, content: bytes, media_type: str) -> None:
    assert inline(content, declared, what="file", name=name) == AttachmentPart(media_type, encoded(content))


@pytest.mark.parametrize(
    ("what", "declared", "content"),
    [
        ("image", "image/gif", b"GIF89a\x01\0"),
        ("image", "image/png", b"GIF87a\x01\0"),
        ("image", "image/bmp", OTHER),
        ("image", "image/svg+xml", b"<svg/>"),
        ("image", "text/plain", b"Hello"),
        ("image", "application/octet-stream", OTHER),
        ("image", "", OTHER),
        ("image", "x" * 500, OTHER),
        ("audio", "pcm16", OTHER),
        ("audio", "", MP3),  # the sync word alone is too little to go by
        ("audio", "audio/webm", OTHER),
        ("video", "video/x-matroska", OTHER),
        ("video", "", b"Hello"),
        ("file", "", OTHER),
        ("file", "application/zip", DOCX),
        ("file", "image/gif", b"GIF89a\x01\0"),
    ],
)
def test_content_of_a_type_that_gemini_refuses_is_refused(what: str, declared: str, content: bytes) -> None:
    error = refusal(encoded(content), declared, what=what)
    assert error.code == f"invalid_{what}"
    assert f"Gemini does not take {what}" in error.message


@pytest.mark.parametrize(
    ("what", "instead"),
    [("image", "send PNG, JPEG"), ("audio", "send WAV, MP3"), ("video", "send MP4"), ("file", "send PDF, text")],
)
def test_refusal_says_what_to_send_instead(what: str, instead: str) -> None:
    assert instead in refusal(encoded(OTHER), "application/x-odd", what=what).message


@pytest.mark.parametrize(("declared", "told"), [(OFFICE, "wordprocessingml"), ("", "report.docx")])
def test_office_file_is_refused_by_its_name_or_type(declared: str, told: str) -> None:
    error = refusal(encoded(DOCX), declared, what="file", name="report.docx")
    assert told in error.message
    assert "send PDF" in error.message


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", "Grüße".encode("latin-1")), ("a.csv", "a;ö".encode("cp1252")), ("a.txt", "Hi".encode("utf-16"))],
)
def test_text_in_another_encoding_is_told_from_an_unknown_type(name: str, content: bytes) -> None:
    error = refusal(encoded(content), what="file", name=name)
    assert "not in UTF-8" in error.message
    assert error.code == "invalid_file"


# Base64.


@pytest.mark.parametrize(
    "text",
    [
        encoded(OTHER).replace("+", "-").replace("/", "_"),
        "\r\n".join(encoded(OTHER)) + "\n",
        f"  {encoded(OTHER)}\t",
        encoded(OTHER).replace("+", "-", 1),
        f"{encoded(OTHER)}====",
    ],
)
def test_base64_in_another_dress_becomes_standard(text: str) -> None:
    part = AttachmentPart("image/png", encoded(OTHER))
    assert attachment(text, "image/png", what="image", param="p") == part
    assert attachment(f"data:image/png;base64,{text}", what="image", param="p") == part


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_missing_padding_is_put_back(length: int, kept: int) -> None:
    whole = encoded(b"\xfb" * length)
    bare = whole.rstrip("=")
    text = bare + whole[len(bare) :][:kept]
    assert attachment(text, "image/png", what="image", param="p") == AttachmentPart("image/png", whole)


@pytest.mark.parametrize(
    "text",
    [
        *("not base64!", "Q", "QUJDR", "QQ==QQ==", "=QQ=", "QQ=Q", "QUJD%2B", "é" * 8, "日本語日"),
        *("QUJD\0AAA", "\ud800AAA", "cat.png", "./cat.png", "~/cat.png", "example.com/cat.png", "{}"),
    ],
)
@pytest.mark.parametrize("what", KINDS)
def test_what_is_not_base64_is_refused(text: str, what: str) -> None:
    error = refusal(text, what=what)
    assert f"the {what} is not valid base64" in error.message
    assert "or a public https address" in error.message
    assert error.code == f"invalid_{what}"


@pytest.mark.parametrize("text", ["", " \n", "====", "data:image/png;base64,", "data:;base64, ="])
@pytest.mark.parametrize("what", KINDS)
def test_what_is_empty_is_refused(text: str, what: str) -> None:
    assert f"the {what} is empty" in refusal(text, what=what).message


# data: URLs.


@pytest.mark.parametrize(
    "head",
    [
        *("data:image/jpeg;base64,", "DATA:image/jpeg;BASE64,", "Data:Image/JPEG;Base64,", " data:image/jpeg;base64,"),
        *("data:image/jpeg;name=a.png;base64,", "data:image/jpeg; base64 ,", "data: image/jpeg ;base64,\r\n"),
    ],
)
def test_type_in_a_data_url_counts_more_than_the_one_beside_it(head: str) -> None:
    part = attachment(f"{head}QUJD", "image/png", what="image", param="p")
    assert part == AttachmentPart("image/jpeg", "QUJD")


def test_data_url_without_a_type_has_the_one_beside_it() -> None:
    assert attachment("data:;base64,QUJD", "wav", what="audio", param="p") == AttachmentPart("audio/wav", "QUJD")


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png", "data:image/png;base64", "data:text/plain,Hello", "data:;charset=x,Hello"]
)
@pytest.mark.parametrize("what", KINDS)
def test_data_url_that_is_not_base64_is_refused(url: str, what: str) -> None:
    assert f"the {what}'s data: URL must be base64 (data:" in refusal(url, what=what).message


# Whatever comes.

HOSTS = st.lists(
    st.sampled_from(["a", "1", "0x7f", "local", "com", "xn--a", "", "é", "[::1]", "%41", "-", "_", "@", ":", "99999"]),
    max_size=4,
).map(".".join)
URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "HTTPS://", "http://", "https:", "file:///", "data:", "", "https:\\\\"]),
    HOSTS,
    st.sampled_from(["", "/", ":443/", ":x", "\\", "@", "?", "#", "\t", ".", "/a."]),
    st.text(max_size=8) | st.sampled_from(["png", "gif", "pdf", "html", "docx"]),
)
SOURCES = (
    URLS
    | st.text(alphabet="ABab01+/-_= \n", max_size=30)
    | st.text(max_size=20)
    | st.binary(max_size=20).map(encoded)
    | st.builds("data:{};base64,{}".format, st.text(max_size=6), st.binary(max_size=20).map(encoded))
)
TYPES = st.sampled_from(["image/png", "x", "", "wav", "text/plain", "application/pdf", "video/mp4"]) | st.text(
    max_size=9
)
NAMES = st.sampled_from(["", "a.pdf", "a.txt", "a.docx", ".", "x" * 999]) | st.text(max_size=9)
PUBLIC = frozenset(string.ascii_lowercase + string.digits + "-_.")


@given(SOURCES, TYPES, st.sampled_from(KINDS), NAMES)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_anything_is_standard_base64_or_a_public_address_or_refused(
    source: str, declared: str, what: str, name: str
) -> None:
    try:
        part = attachment(source, declared, what=what, param="p", name=name)
    except BadRequest as error:
        assert error.param == "p"  # noqa: PT017 - most inputs are refused, some are not
        assert len(error.message) < 400  # noqa: PT017
        return
    assert part.provider_metadata is None
    if part.url:
        host = part.url.lower().removeprefix("https://").partition("/")[0].partition("?")[0].partition("#")[0]
        assert set(host.partition(":")[0]) <= PUBLIC
        assert "." in host
        assert part.base64 == ""
        assert part.url.isascii()
    else:
        assert part.media_type
        assert len(part.base64) % 4 == 0
        assert base64.b64decode(part.base64, validate=True)

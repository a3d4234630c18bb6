"""Files in a request: inline as base64 or a ``data:`` URL, or by a public https address, which Google fetches itself.

What Gemini takes: https://ai.google.dev/gemini-api/docs/image-understanding, .../audio, .../video-understanding,
.../document-processing ("Supported ... formats" of each) and .../file-input-methods (addresses).
"""

import binascii
import re
from urllib.parse import unquote, urlsplit

from agproxy.chat import AttachmentPart
from agproxy.errors import BadRequest
from agproxy.protocols.fields import shown

# By file name extension, and by the format names of OpenAI's ``input_audio``.
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aif": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/m4a",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpg",
    "mov": "video/mov",
    "avi": "video/avi",
    "flv": "video/x-flv",
    "webm": "video/webm",
    "wmv": "video/wmv",
    "3gp": "video/3gpp",
    "txt": "text/plain",
    "md": "text/plain",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "csv": "text/csv",
    "xml": "text/xml",
    "rtf": "text/rtf",
}
_SYNONYMS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "audio/x-m4a": "audio/m4a",
    "audio/mp4": "audio/m4a",
    "video/quicktime": "video/mov",
    "video/x-msvideo": "video/avi",
    "video/x-ms-wmv": "video/wmv",
    "application/xml": "text/xml",
    "application/javascript": "text/javascript",
    "application/rtf": "text/rtf",
    "application/x-pdf": "application/pdf",
    "application/octet-stream": "",  # says nothing, and is refused as such
    "binary/octet-stream": "",
}
_TAKEN = frozenset(_TYPES.values()) - {"image/gif"}
_FETCHED = _TAKEN | {"application/json", "image/bmp"}
_TEXT_TYPES = frozenset(media_type for media_type in _TAKEN if media_type.startswith("text/"))

# First bytes of the kinds of file that are told apart by them; a client's word for the type is often wrong.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mp3"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}
_HEIC = (b"heic", b"heix", b"mif1", b"msf1")
_WORDS = {
    "image": "Gemini does not take images of type {}; send PNG, JPEG, WebP, HEIC or HEIF",
    "audio": "Gemini does not take audio of type {}; send WAV, MP3, AIFF, AAC, Ogg or FLAC",
    "video": "Gemini does not take video of type {}; send MP4, MPEG, MOV, AVI, FLV, WebM, WMV or 3GPP",
    "file": "Gemini does not take files of type {}; send PDF, text, an image, audio or video",
}

# Google publishes no list of what it fetches; a name must have a dot and end in letters, so that neither an IP address
# in any notation (1.2.3.4, 2130706433, 0x7f.1) nor a name of a local network passes.
_PUBLIC_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})")
_LOCAL_NAME = re.compile(
    r"(?:^|\.)(?:localhost|localdomain|local|lan|internal|intranet|private|corp|home|home\.arpa|test|example|invalid"
    r"|onion|in-addr\.arpa|ip6\.arpa)$|^[a-z][a-z0-9_-]*$"
)
_MAX_URL = 8192  # pre-signed addresses are long


def attachment(source: str, media_type: str = "", *, what: str, param: str, name: str = "") -> AttachmentPart:
    """The file that ``source`` holds or points to.

    :param source: a ``data:`` URL, an https address, or base64.
    :param media_type: what the client says it is; the bytes, where they tell it, and the name's extension count more.
    :param what: ``image audio video file``, for messages.
    :param param: the request field, for messages.
    :raises BadRequest: when it cannot be read or sent on; the message says why.
    """
    source = source.strip()
    scheme, colon, _ = source[:16].partition(":")
    if not colon:
        return _inline(source, media_type, what=what, param=param, name=name)
    if scheme.lower() == "data":
        head, comma, content = source[5:].partition(",")
        declared, *options = head.split(";")
        if not comma or "base64" not in [option.strip().lower() for option in options]:
            raise BadRequest(f"the {what}'s data: URL must be base64 (data:{_EXAMPLES[what]};base64,...)", param=param)
        return _inline(content, declared.strip() or media_type, what=what, param=param, name=name)
    return _linked(source, media_type, what=what, param=param, name=name)


_EXAMPLES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4", "file": "application/pdf"}


def _inline(content: str, media_type: str, *, what: str, param: str, name: str) -> AttachmentPart:
    text = "".join(content.split()).rstrip("=")
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    text += "=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f"the {what} is not valid base64: {error}; send data:{_EXAMPLES[what]};base64,...,"
            " or a public https address",
            param=param,
            code=f"invalid_{what}",
        ) from error
    if not raw:
        raise BadRequest(f"the {what} is empty", param=param, code=f"invalid_{what}")
    declared = _declared(media_type)
    found = _sniffed(raw, declared) or _by_name(name) or declared
    if what == "file" and (found in _TEXT_TYPES or found not in _TAKEN) and _is_text(raw):
        found = found if found in _TEXT_TYPES else "text/plain"  # source code, JSON, YAML, ...
    elif what == "file" and found in _TEXT_TYPES:
        raise BadRequest(f"the file is {found}, but not in UTF-8; send it as UTF-8", param=param, code="invalid_file")
    elif found not in _TAKEN or found in _TEXT_TYPES:
        raise _not_taken(found or name or "unknown", what, param)
    return AttachmentPart(found, text)


def _linked(url: str, media_type: str, *, what: str, param: str, name: str) -> AttachmentPart:
    """agproxy fetches nothing: Google does, when it is told a public https address."""

    def refused(why: str) -> BadRequest:
        return BadRequest(
            f"the {what} cannot be given by this address: {why}; send it inline instead, as"
            f" data:{_EXAMPLES[what]};base64,...",
            param=param,
            code=f"invalid_{what}_url",
        )

    if len(url) > _MAX_URL:
        raise refused(f"it is longer than {_MAX_URL} characters")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        _ = parts.port  # raises for one that is no number
    except ValueError as error:
        raise refused("it is no URL") from error
    if parts.scheme != "https":
        raise refused(f"Google fetches https addresses only, not {shown(parts.scheme or url)}")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise refused("it has characters that a URL cannot hold")
    if parts.username is not None or parts.password is not None:
        raise refused("it holds a user name or password")
    if _LOCAL_NAME.search(host):
        raise refused(f"{shown(host)} is a local name, which Google cannot reach")
    if not _PUBLIC_NAME.fullmatch(host):
        raise refused(f"it names {shown(host)}, not a public host name (IP addresses are not taken)")
    found = _by_name(unquote(parts.path)) or _by_name(name) or _declared(media_type)
    if found and (found not in _FETCHED or (found in _TEXT_TYPES and what != "file")):
        raise _not_taken(found, what, param)
    return AttachmentPart(found, url=url)


def _not_taken(media_type: str, what: str, param: str) -> BadRequest:
    return BadRequest(_WORDS[what].format(shown(media_type)), param=param, code=f"invalid_{what}")


def _declared(media_type: str) -> str:
    """A media type, or the name of a format, in Gemini's words."""
    word = media_type.partition(";")[0].strip().lower()
    if "/" not in word:
        return _TYPES.get(word, word)
    return _SYNONYMS.get(word, word)


def _by_name(name: str) -> str:
    _, dot, extension = name.rpartition(".")
    return _TYPES.get(extension.lower(), "") if dot else ""


def _sniffed(raw: bytes, declared: str) -> str:
    for magic, media_type in _MAGIC:
        if raw.startswith(magic):
            return media_type
    if raw[:4] == b"RIFF":
        return _RIFF.get(raw[8:12], "")
    if raw[:4] == b"FORM" and raw[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if raw[4:8] == b"ftyp" and raw[8:12] in _HEIC:
        return "image/heic"
    if raw[0] == 0xFF and len(raw) > 1 and raw[1] & 0xE0 == 0xE0 and declared.startswith("audio/"):
        return "audio/aac" if raw[1] & 0x06 == 0 else "audio/mp3"  # MPEG sync word; layer 0 is ADTS
    return ""


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False

"""The lines of an INI file as ``configparser`` tells them apart, which keeps neither places nor comments."""

import re
from dataclasses import dataclass
from typing import Literal

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_HEADER = re.compile(r"\[(.+)\]")
_INLINE_COMMENT = re.compile(r"(?:^|(?<=\s));")

Kind = Literal["nothing", "header", "option", "more"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file.

    :param kind: what stands before its comment; ``more`` goes on with the value of the option above it.
    :param text: the line without its comment and its end.
    :param comment: from the sign that begins it, or empty.
    :param section: the header that it belongs to, or is; empty before the first one.
    :param option: the option that it belongs to, or begins; empty before the first one of a section.
    """

    kind: Kind
    text: str
    comment: str
    end: str
    section: str
    option: str

    @property
    def indent(self) -> str:
        return self.text[: len(self.text) - len(self.text.lstrip())]

    @property
    def whole(self) -> str:
        return self.text + self.comment + self.end


def lines_of(text: str) -> list[Line]:
    """The lines of a text that ``ini.parse`` takes, told apart as ``RawConfigParser._read`` does."""
    found: list[Line] = []
    section = option = ""
    level = 0  # how far the last header or option is indented: what is farther right goes on with its value
    for match in _LINE.finditer(text):
        whole, end = match.groups()
        if not match[0]:
            break
        cut = _comment_start(whole)
        words = whole[:cut].strip()
        indent = len(whole) - len(whole.lstrip())
        kind: Kind = "nothing"
        if words and option and indent > level:
            kind = "more"
        elif words:
            level = indent
            header = _HEADER.match(words)
            kind = "header" if header else "option"
            section = header[1] if header else section
            option = "" if header else words.partition("=")[0].rstrip()
        found.append(Line(kind, whole[:cut], whole[cut:], end, section, option))
    return found


def _comment_start(line: str) -> int:
    """Where the comment of a line begins; its length when there is none."""
    if line.lstrip().startswith(("#", ";")):
        return 0
    match = _INLINE_COMMENT.search(line)
    return match.start() if match else len(line)

"""The syntax of an INI file: bytes to sections whose options remember their line.

``=`` is the only delimiter, the case of names is kept, nothing is interpolated: model names hold ``:`` and capitals,
keys hold ``%``. A line that begins with ``#`` or ``;`` is a comment, and so is what follows `` ;`` after a value.
"""

import configparser
from dataclasses import dataclass

from agproxy.ini_lines import lines_of


@dataclass(frozen=True, slots=True)
class Option:
    """The text of one option, without the blanks around it; a value over several lines holds ``\\n``."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """The options of one section, by name, in the order of the file."""

    line: int
    options: dict[str, Option]


class IniError(Exception):
    """The text is no INI file; the message never quotes the line, which may hold a key."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Parser(configparser.RawConfigParser):
    def __init__(self) -> None:
        super().__init__(
            delimiters=("=",),
            inline_comment_prefixes=(";",),
            default_section="",  # no header can be empty, so no section is special
        )

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def parse(content: bytes) -> dict[str, Section]:
    """The sections of an INI file, by header.

    :raises IniError: the file is not UTF-8, not made of sections and options, or one of them comes twice.
    """
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise IniError("not UTF-8; save the file in that encoding", line) from None
    parser = _Parser()
    try:
        parser.read_string(text)
    except configparser.DuplicateSectionError as error:
        raise IniError(f"section [{error.section}] comes a second time; join the two", error.lineno or 0) from None
    except configparser.DuplicateOptionError as error:
        message = f"[{error.section}] option {error.option!r} comes a second time"
        raise IniError(message, error.lineno or 0) from None
    except configparser.MissingSectionHeaderError as error:
        raise IniError("an option before the first [section]", error.lineno) from None
    except configparser.ParsingError as error:
        raise IniError("neither a [section] nor an 'option = value'", error.errors[0][0]) from None
    lines = _line_numbers(text)
    return {
        header: Section(
            lines.get((header, ""), 0),
            {name: Option(value, lines.get((header, name), 0)) for name, value in parser.items(header)},
        )
        for header in parser.sections()
    }


def _line_numbers(text: str) -> dict[tuple[str, str], int]:
    """Where each (section, option) begins, and each (section, "")."""
    return {
        (line.section, line.option): number
        for number, line in enumerate(lines_of(text), 1)
        if line.kind in ("header", "option")
    }

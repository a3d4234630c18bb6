"""Changes one option in the text of an INI file in place: all other bytes stay what they are.

Comments, order, line ends, a byte order mark and a missing last line end are kept. What begins an option, and what goes
on with one, is found as ``configparser`` finds it; in the end ``ini.parse`` must see this one change and no other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agproxy import ini

_BOM = "\ufeff"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_HEADER = re.compile(r"\[(.+)\]")
_INLINE_COMMENT = re.compile(r"(?:^|(?<=\s));")

Kind = Literal["nothing", "header", "option", "more"]


@dataclass(frozen=True, slots=True)
class _Line:
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


def set_option(content: bytes, header: str, name: str, value: str) -> bytes:
    """The file with ``name = value`` in a section: changed where it stands, else added, if need be with the section.

    :raises IniError: the file is no INI file.
    :raises ValueError: the value cannot stand in one.
    """
    text, lines = _decoded(content)
    begins = _begin(lines, header, name)
    if begins is not None and ini.parse(content)[header].options[name].text == value:
        return content
    if not any(line.section == header for line in lines):
        return add_section(content, header, {name: value})
    if begins is None:
        at, added = _addition(lines, header, f"{name} = {value}")
        changed = [line.whole for line in lines[:at]] + added + [line.whole for line in lines[at:]]
    else:
        changed = [line.whole for line in lines]
        changed[begins] = _with_value(lines[begins], value)
        for index in _rest_of_value(lines, begins):
            line = lines[index]
            changed[index] = line.indent + line.comment + line.end if line.comment else ""
    return _checked(content, "".join([*_mark(text), *changed]), {header: {name: value}})


def remove_option(content: bytes, header: str, name: str) -> bytes:
    """The file without an option, and without the comments on its lines; the same when there is no such option.

    :raises IniError: the file is no INI file.
    """
    text, lines = _decoded(content)
    begins = _begin(lines, header, name)
    if begins is None:
        return content
    gone = {begins, *_rest_of_value(lines, begins)}
    kept = "".join(line.whole for index, line in enumerate(lines) if index not in gone)
    if len(lines) - 1 in gone and not lines[-1].end:
        kept = kept.removesuffix(lines[begins - 1].end)
    return _checked(content, "".join([*_mark(text), kept]), {header: {name: None}})


def add_section(content: bytes, header: str, options: Mapping[str, str]) -> bytes:
    """The file with one more section, at its end.

    :raises IniError: the file is no INI file.
    :raises ValueError: it has this section, or one of the values cannot stand in an INI file.
    """
    text, lines = _decoded(content)
    if any(line.section == header for line in lines):
        raise ValueError(f"there is a section [{header}] already")
    newline = next((line.end for line in lines if line.end), "\n")
    added = [f"[{header}]", *(f"{name} = {value}" for name, value in options.items())]
    last = lines[-1] if lines else None
    if last is None:
        before = ""
    elif not last.end:
        before = newline * 2
    else:
        before = newline if last.text.strip() or last.comment else ""
    after = newline if last is None or last.end else ""
    return _checked(content, text + before + newline.join(added) + after, {header: dict(options)})


# The lines of a file.


def _decoded(content: bytes) -> tuple[str, list[_Line]]:
    ini.parse(content)
    text = content.decode("utf-8")
    return text, _lines(text.removeprefix(_BOM))


def _mark(text: str) -> list[str]:
    return [_BOM] if text.startswith(_BOM) else []


def _lines(text: str) -> list[_Line]:
    """The lines of a text that ``ini.parse`` takes, told apart as ``RawConfigParser._read`` does."""
    found: list[_Line] = []
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
        found.append(_Line(kind, whole[:cut], whole[cut:], end, section, option))
    return found


def _comment_start(line: str) -> int:
    """Where the comment of a line begins; its length when there is none."""
    if line.lstrip().startswith(("#", ";")):
        return 0
    match = _INLINE_COMMENT.search(line)
    return match.start() if match else len(line)


def _begin(lines: Sequence[_Line], header: str, name: str) -> int | None:
    """The index of the line that an option begins in."""
    for index, line in enumerate(lines):
        if line.kind == "option" and (line.section, line.option) == (header, name):
            return index
    return None


def _rest_of_value(lines: Sequence[_Line], begins: int) -> list[int]:
    """The indexes of the lines that go on with the value of an option."""
    found = []
    for index in range(begins + 1, len(lines)):
        if lines[index].kind in ("header", "option"):
            break
        if lines[index].kind == "more":
            found.append(index)
    return found


def _with_value(line: _Line, value: str) -> str:
    """The line of an option with another value: blanks around it, comment and end are kept."""
    before, equals, after = line.text.partition("=")
    if after.strip():
        gap, rest = after[: len(after) - len(after.lstrip())], after[len(after.rstrip()) :]
    else:
        gap, rest = " ", after if line.comment else ""
    return before + equals + gap + value + rest + line.comment + line.end


def _addition(lines: Sequence[_Line], header: str, words: str) -> tuple[int, list[str]]:
    """Where a new option of a section goes, after its last one, and the text that goes there."""
    at = max(index for index, line in enumerate(lines) if line.section == header and line.kind != "nothing")
    own = [line for line in lines if line.section == header and line.kind == "option"]
    following = next((line for line in lines[at + 1 :] if line.kind == "header"), None)
    # What comes after it must not be farther right than it, or would go on with its value.
    indent = own[-1].indent if own else following.indent if following else ""
    end = lines[at].end
    if end:
        return at + 1, [indent + words + end]
    newline = next((line.end for line in lines if line.end), "\n")
    return at + 1, [newline + indent + words]


def _checked(content: bytes, text: str, changes: Mapping[str, Mapping[str, str | None]]) -> bytes:
    """The new text in bytes, if it holds the changes and nothing else is changed.

    :raises ValueError: it does not.
    """
    try:
        changed = text.encode()
        before, after = _texts(content), _texts(changed)
    except (UnicodeEncodeError, ini.IniError):  # the message could quote the value, which may be a key
        raise ValueError("this cannot stand in an INI file") from None
    for header, options in changes.items():
        for name, value in options.items():
            if after.get(header, {}).pop(name, None) != value:
                raise ValueError(f"{name} cannot have this value in an INI file")
            before.get(header, {}).pop(name, None)
        before.setdefault(header, {})
    if _in_order(before) != _in_order(after):
        raise ValueError("the file is written in such a way that this must be changed by hand")
    return changed


def _texts(content: bytes) -> dict[str, dict[str, str]]:
    """The texts of all options, by section."""
    return {
        header: {name: option.text for name, option in section.options.items()}
        for header, section in ini.parse(content).items()
    }


def _in_order(texts: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(header, list(options.items())) for header, options in texts.items()]

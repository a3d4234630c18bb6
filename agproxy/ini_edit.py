"""Changes one option in the text of an INI file in place: all other bytes stay what they are.

Comments, order, line ends, a byte order mark and a missing last line end are kept. What begins an option, and what goes
on with one, is found as ``configparser`` finds it; in the end ``ini.parse`` must see this one change and no other.
"""

from collections.abc import Mapping, Sequence

from agproxy import ini
from agproxy.ini_lines import Line, lines_of

_BOM = "\ufeff"


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


def _decoded(content: bytes) -> tuple[str, list[Line]]:
    ini.parse(content)
    text = content.decode("utf-8")
    return text, lines_of(text.removeprefix(_BOM))


def _mark(text: str) -> list[str]:
    return [_BOM] if text.startswith(_BOM) else []


def _begin(lines: Sequence[Line], header: str, name: str) -> int | None:
    """The index of the line that an option begins in."""
    for index, line in enumerate(lines):
        if line.kind == "option" and (line.section, line.option) == (header, name):
            return index
    return None


def _rest_of_value(lines: Sequence[Line], begins: int) -> list[int]:
    """The indexes of the lines that go on with the value of an option."""
    found = []
    for index in range(begins + 1, len(lines)):
        if lines[index].kind in ("header", "option"):
            break
        if lines[index].kind == "more":
            found.append(index)
    return found


def _with_value(line: Line, value: str) -> str:
    """The line of an option with another value: blanks around it, comment and end are kept."""
    before, equals, after = line.text.partition("=")
    if after.strip():
        gap, rest = after[: len(after) - len(after.lstrip())], after[len(after.rstrip()) :]
    else:
        gap, rest = " ", after if line.comment else ""
    return before + equals + gap + value + rest + line.comment + line.end


def _addition(lines: Sequence[Line], header: str, words: str) -> tuple[int, list[str]]:
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

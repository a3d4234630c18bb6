"""Changing one option in place: what ``ini.parse`` sees changes by that option alone, and so does the text."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agproxy.ini import IniError, parse
from agproxy.ini_edit import add_section, remove_option, set_option

FILE = b"""\
# top
[account:me] ; mine
; note
api_key = x ; the old
#enabled = on
models =
  a,   ; first
  # between
  b

# about work
[account:work]
api_key=y"""


def edited(header: str, name: str, value: str, content: bytes = FILE) -> str:
    return set_option(content, header, name, value).decode()


def test_value_changes_where_it_stands_and_its_comment_stays() -> None:
    assert edited("account:me", "api_key", "z") == FILE.decode().replace("= x ;", "= z ;")


def test_blanks_around_the_sign_stay() -> None:
    assert edited("s", "a", "2", b"[s]\na\t=1\nb =   1   ; c\n") == "[s]\na\t=2\nb =   1   ; c\n"
    assert edited("s", "b", "2", b"[s]\na\t=1\nb =   1   ; c\n") == "[s]\na\t=1\nb =   2   ; c\n"


@pytest.mark.parametrize(("old", "new"), [(b"a =", "a = 1"), (b"a=", "a= 1"), (b"a = ; c", "a = 1 ; c")])
def test_empty_value_is_filled(old: bytes, new: str) -> None:
    assert edited("s", "a", "1", b"[s]\n" + old + b"\nb = 2\n") == f"[s]\n{new}\nb = 2\n"


def test_value_of_several_lines_becomes_one_line_and_its_comments_stay() -> None:
    old = "models =\n  a,   ; first\n  # between\n  b\n"
    new = "models = c\n  ; first\n  # between\n"
    assert edited("account:me", "models", "c") == FILE.decode().replace(old, new)


def test_new_option_comes_after_the_last_one_of_its_section() -> None:
    assert edited("account:me", "enabled", "off") == FILE.decode().replace("  b\n", "  b\nenabled = off\n")


def test_new_option_of_an_empty_section_comes_after_its_header() -> None:
    assert edited("s", "a", "1", b"[s]\n\n# doc\n#a =\n[t]\n") == "[s]\na = 1\n\n# doc\n#a =\n[t]\n"


def test_file_without_a_last_line_end_stays_so() -> None:
    assert edited("account:work", "enabled", "off") == FILE.decode() + "\nenabled = off"
    assert edited("new", "a", "1") == FILE.decode() + "\n\n[new]\na = 1"


def test_section_that_is_missing_is_added_at_the_end_after_an_empty_line() -> None:
    assert edited("t", "a", "1", b"[s]\nb = 2\n") == "[s]\nb = 2\n\n[t]\na = 1\n"
    assert edited("t", "a", "1", b"[s]\n\n") == "[s]\n\n[t]\na = 1\n"
    assert edited("t", "a", "1", b"") == "[t]\na = 1\n"


def test_line_ends_are_those_of_the_file_and_its_byte_order_mark_stays() -> None:
    content = b"\xef\xbb\xbf[s]\r\na = 1\r\n"
    assert set_option(content, "s", "a", "2") == b"\xef\xbb\xbf[s]\r\na = 2\r\n"
    assert set_option(content, "s", "b", "2") == b"\xef\xbb\xbf[s]\r\na = 1\r\nb = 2\r\n"
    assert add_section(content, "t", {"c": "3"}) == content + b"\r\n[t]\r\nc = 3\r\n"
    assert remove_option(content, "s", "a") == b"\xef\xbb\xbf[s]\r\n"


def test_indented_file_stays_indented() -> None:
    """What follows a new option farther to the right would go on with its value."""
    assert edited("s", "b", "2", b" [s]\n a = 1\n [t]\n") == " [s]\n a = 1\n b = 2\n [t]\n"
    assert edited("s", "b", "2", b"[s]\n  [t]\n") == "[s]\n  b = 2\n  [t]\n"


def test_line_that_goes_on_with_a_value_is_no_option_though_it_looks_like_one() -> None:
    content = b"[s]\na = 1\n  b = 2\n  [s2]\n"
    assert edited("s", "b", "3", content) == content.decode() + "b = 3\n"
    assert edited("s2", "b", "3", content) == content.decode() + "\n[s2]\nb = 3\n"


def test_option_is_removed_with_its_lines_and_the_comments_between_stay() -> None:
    gone = remove_option(FILE, "account:me", "models").decode()
    assert gone == FILE.decode().replace("models =\n  a,   ; first\n", "").replace("  b\n", "")
    assert remove_option(FILE, "account:me", "enabled") == FILE
    assert remove_option(FILE, "account:you", "models") == FILE


@pytest.mark.parametrize("value", [";x", "a ;b", "a\nb", " qq", "\ud800"])
def test_value_that_would_be_read_otherwise_is_refused_and_not_shown(value: str) -> None:
    for header in ("account:me", "new"):
        with pytest.raises(ValueError, match="INI file") as caught:
            set_option(FILE, header, "api_key", value)
        assert value not in str(caught.value)
        assert caught.value.__cause__ is None


def test_section_that_exists_is_not_added() -> None:
    with pytest.raises(ValueError, match=r"a section \[account:me\] already"):
        add_section(FILE, "account:me", {"api_key": "z"})


def test_file_that_is_none_is_refused_with_its_line() -> None:
    with pytest.raises(IniError) as caught:
        set_option(b"[s]\na = 1\nb\n", "s", "a", "2")
    assert caught.value.line == 3


# Any file.

_WORDS = st.text(alphabet="ab=[]#; \t\x1c\x85\u2028%:é", max_size=8)
_LINES = st.one_of(
    _WORDS,
    st.builds("[{}]{}".format, st.sampled_from(["s", "t", "account:me"]), st.sampled_from(["", " ; c", " x"])),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", " ", "\t ", "    "]),
        st.sampled_from(["a", "b", "pin", "a b"]),
        st.sampled_from(["=", " = ", "  =", "= "]),
        st.sampled_from(["", "1", "1 ; c", "[s]", "b = 2", ";", "x;y"]),
    ),
    st.sampled_from(["", "  more", "  b = 1", "  [s]", "# c", " ; c", "  more ; c"]),
)
_ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r"])


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(["", "\ufeff"]))
    for line in ["[s]" if draw(st.booleans()) else "#", *draw(st.lists(_LINES, max_size=12))]:
        text += line + draw(_ENDS)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return text.encode()


def _texts(content: bytes) -> dict[str, dict[str, str]]:
    return {
        header: {name: option.text for name, option in section.options.items()}
        for header, section in parse(content).items()
    }


def _one_change(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """What stood at the one place that differs, and what stands there now."""
    start = _alike(before, after)
    back = _alike(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - back], after[start : len(after) - back]


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes they begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@settings(max_examples=400, deadline=None)
@given(
    _files(),
    st.sampled_from(["s", "t", "account:me", "new"]),
    st.sampled_from(["a", "b", "pin", "a b"]),
    st.sampled_from(["1", "on", "a;b", "[x]", "b = 3", ""]),
)
@example(b"[s]\na = 1\n", "s", "a", "")
@example(b"[s]\na = 1 ; c\n", "s", "a", "")
@example(b" [s]\n a = 1\n [t]\n", "s", "b", "1")
def test_any_file_differs_by_the_one_option_alone(content: bytes, header: str, name: str, value: str) -> None:
    try:
        before = _texts(content)
    except IniError:
        return
    after = set_option(content, header, name, value)
    known = name in before.get(header, {})
    before.setdefault(header, {})[name] = value
    assert _texts(after) == before
    gone, come = _one_change(content, after)
    if not known:
        assert gone == b""
        assert b"%s = %s" % (name.encode(), value.encode()) in come
    comments = [line.strip() for line in content.splitlines() if line.strip().startswith((b"#", b";"))]
    kept = [line.strip() for line in after.splitlines()]
    assert [line for line in comments if line not in kept] == []
    assert set_option(after, header, name, value) == after

    without = remove_option(after, header, name)
    del before[header][name]
    assert _texts(without) == before
    if not known and header in _texts(content):
        assert without == content

"""The syntax: sections, options and their lines."""

import pytest

from agproxy.ini import IniError, parse


def test_options_know_their_line() -> None:
    sections = parse(b"# top\n[server]\nport = 1\n\n; note\n[models]\ngpt-4o = a:b ; exact\nGPT-4o = %c\n")
    assert sections["server"].line == 2
    assert sections["server"].options["port"].line == 3
    assert {name: (option.text, option.line) for name, option in sections["models"].options.items()} == {
        "gpt-4o": ("a:b", 7),
        "GPT-4o": ("%c", 8),
    }


def test_value_goes_on_in_indented_lines_around_comments() -> None:
    sections = parse(b"[s]\na = 1,\n  2\n  # note\n  3\n\nb = 4\n")
    assert sections["s"].options["a"].text == "1,\n2\n3"
    assert sections["s"].options["b"].line == 7


def test_line_that_goes_on_with_a_value_is_no_option_or_section_of_that_name() -> None:
    sections = parse(b"[s]\na = 1,\n  b = 2\n  [t]\nb = 3\n[t]\n")
    assert sections["s"].options["a"].text == "1,\nb = 2\n[t]"
    assert (sections["s"].options["b"].text, sections["s"].options["b"].line) == ("3", 5)
    assert sections["t"].line == 6


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_mark_and_line_ends_do_not_matter(end: bytes) -> None:
    sections = parse(b"\xef\xbb\xbf[s]" + end + b"a = 1" + end)
    assert (sections["s"].options["a"].text, sections["s"].options["a"].line) == ("1", 2)


def test_semicolon_is_a_comment_only_after_a_blank() -> None:
    assert parse(b"[s]\na = x;y ; z\n")["s"].options["a"].text == "x;y"


def test_no_section_gives_defaults_to_others() -> None:
    assert list(parse(b"[DEFAULT]\na = 1\n[s]\n")) == ["DEFAULT", "s"]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"[s]\na = 1\n[t]\n[s]\n", 4, "section [s] comes a second time; join the two"),
        (b"[s]\na = 1\n\na = 2\n", 4, "[s] option 'a' comes a second time"),
        (b"\na = 1\n", 2, "an option before the first [section]"),
        (b"[s]\napi_key: secret\n", 2, "neither a [section] nor an 'option = value'"),
        (b"[s]\n= secret\n", 2, "neither a [section] nor an 'option = value'"),
        (b"[s]\na = 1\nb = \xff\n", 3, "not UTF-8; save the file in that encoding"),
    ],
)
def test_what_is_no_ini_is_refused_with_its_line(content: bytes, line: int, message: str) -> None:
    with pytest.raises(IniError) as caught:
        parse(content)
    assert (str(caught.value), caught.value.line) == (message, line)

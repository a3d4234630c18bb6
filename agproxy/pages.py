"""The few HTML pages for people who open agproxy's address in a browser: no scripts, nothing loaded from elsewhere."""

from collections.abc import Iterable
from html import escape

# What a page may do, for its Content-Security-Policy header.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:3em auto;padding:0 1em;overflow-wrap:anywhere;"
    "color-scheme:light dark}code,pre{font:14px/1.5 ui-monospace,monospace}pre{white-space:pre-wrap}"
    "td{padding:0 1.5em .3em 0;vertical-align:top}"
)
_BODY = '{"model": "gemini-flash-latest", "messages": [{"role": "user", "content": "Hello"}]}'


def page(title: str, message: str, *, root_url: str, bases: Iterable[tuple[str, str]]) -> str:
    """One page.

    :param title: plain text, as all the others.
    :param root_url: where agproxy is reached, with a slash at the end.
    :param bases: for whom, and which Base URL.
    """
    rows = "".join(f"<tr><td>{escape(people)}</td><td><code>{escape(base)}</code></td></tr>" for people, base in bases)
    curl = f"curl {root_url}v1/chat/completions -H 'Content-Type: application/json' \\\n  -d '{_BODY}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n<p>{escape(message)}.</p>\n"
        f"<h2>Base URL</h2>\n<table>{rows}</table>\n"
        f"<h2>Try it</h2>\n<pre>{escape(curl)}</pre>\n"
        "<p>If agproxy asks for its key, add <code>-H 'Authorization: Bearer KEY'</code>.</p>\n</body></html>\n"
    )

"""The casts: each text is a value, or refused with what is wanted."""

from ipaddress import ip_network

import pytest

from agproxy import options
from agproxy.options import Cast

VALUES = [
    (options.boolean, "Yes", True),
    (options.boolean, "off", False),
    (options.boolean, "0", False),
    (options.choice("auto", "on"), "AUTO", "auto"),
    (options.integer(1, 3), "3", 3),
    (options.integer(-5, 5), "-5", -5),
    (options.seconds(0, 600), "2.5", 2.5),
    (options.seconds(0, 600), "0", 0.0),
    (options.byte_count, "100000000", 100_000_000),
    (options.byte_count, "100MB", 100_000_000),
    (options.byte_count, "100 MiB", 100 * 2**20),
    (options.byte_count, "1gb", 10**9),
    (options.host, "[::1]", "::1"),
    (options.host, "box.lan", "box.lan"),
    (options.host, "fe80::1%eth0", "fe80::1%eth0"),
    (options.allowed_hosts, "Box.lan, box.lan:8045\n[::1]:8045,", ("box.lan", "box.lan:8045", "[::1]:8045")),
    (options.allowed_hosts, "", ()),
    (options.origins, "https://App.example.com/", ("https://app.example.com",)),
    (
        options.origins,
        "chrome-extension://abc, http://localhost:3000",
        ("chrome-extension://abc", "http://localhost:3000"),
    ),
    (options.networks, "10.0.0.7,\n192.168.0.0/16", (ip_network("10.0.0.7/32"), ip_network("192.168.0.0/16"))),
    (options.networks, "fd00::/8", (ip_network("fd00::/8"),)),
    (options.account_type, "Gemini", "gemini"),
    (options.base_url, "https://example.com/", "https://example.com"),
    (options.base_url, "https://example.com/v1beta/", "https://example.com"),
    (options.base_url, "https://example.com/proxy/v1", "https://example.com/proxy"),
    (options.base_url, "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    (options.base_url, "http://localhost:9000/v1beta", "http://localhost:9000"),
    (options.base_url, "http://[::1]:9000", "http://[::1]:9000"),
    (options.base_url, f"https://{'a' * 63}.example.com.", f"https://{'a' * 63}.example.com."),
    (options.base_url, "https://bücher.example_1.com", "https://bücher.example_1.com"),
    (options.proxy_url, "http://me:pass@proxy.example.com:3128", "http://me:pass@proxy.example.com:3128"),
    (options.proxy_url, "", ""),
    (options.api_key, "a;b%c=d#e", "a;b%c=d#e"),
    (options.store_url, "", ""),
    (options.store_url, "Memory:", "memory:"),
    (options.store_url, "sqlite:/var/lib/State.db", "sqlite:/var/lib/State.db"),
    (options.store_url, "SQLITE: state.db", "sqlite:state.db"),
    (options.store_url, "sqlite:C:\\state.db", "sqlite:C:\\state.db"),
    *(
        (options.store_url, url, url)
        for url in (
            "redis://box",
            "redis://box/",
            "redis://box:6379/0",
            "redis://[::1]:6379/15",
            "redis://me:p%40ss%2Fword@box.lan.:6379/0?client_name=one",
            "redis://:password@127.0.0.1",
            "rediss://box:6380/0?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no",
            "unix:///run/redis/redis.sock",
            "unix://me:password@/run/redis.sock?db=2",
        )
    ),
    (options.store_url, "REDIS://Box", "redis://Box"),
]

REFUSALS = [
    (options.boolean, "perhaps", "must be on or off"),
    (options.choice("strict", "auto"), "strickt", "must be one of strict, auto; did you mean 'strict'?"),
    (options.integer(1, 3), "4", "from 1 to 3"),
    (options.integer(1, 3), "2.0", "whole number"),
    (options.integer(1, 3), "9" * 5000, "from 1 to 3"),
    (options.seconds(1, 3600), "10s", "without a unit"),
    (options.seconds(1, 3600), "nan", "from 1 to 3600"),
    (options.seconds(1, 3600), "inf", "from 1 to 3600"),
    (options.byte_count, "100 potatoes", "with a unit: kB"),
    (options.byte_count, "-1", "number of bytes"),
    (options.byte_count, "0", "at least 1 kB"),
    (options.text, "a\nb", "one line only"),
    (options.host, "http://127.0.0.1", "without http://"),
    (options.host, "127.0.0.1:8045", "without a port"),
    (options.host, "fe80::x", "without a port"),
    (options.host, "", "IP address or a host name"),
    (options.allowed_hosts, "https://box.lan", "is not a host name"),
    (options.origins, "null", "is not an origin"),
    (options.origins, "*", "is not an origin"),
    (options.origins, "https://app.example.com/page", "is not an origin"),
    (options.networks, "box.lan", "is not an IP address or network"),
    (options.networks, "10.0.0.7/8", "has bits set beyond its prefix"),
    (options.account_type, "vertex", "not served by this version"),
    (options.account_type, "gemni", "did you mean 'gemini'?"),
    (options.base_url, "generativelanguage.googleapis.com", "must be an address such as https://host"),
    (options.base_url, "https://", "must be an address"),
    (options.base_url, "https://example.com:port", "must be an address"),
    (options.base_url, "https://a..b", "an empty part between its dots"),
    (options.base_url, f"https://{'a' * 64}.example.com", "one of over 63 letters"),
    (options.proxy_url, "http://.example.com:3128", "an empty part between its dots"),
    (options.base_url, "http://example.com", "clear text"),
    (options.base_url, "http://127.0.0.1.example.com", "clear text"),
    (options.base_url, "https://me:pass@example.com", "no user name"),
    (options.base_url, "https://example.com/?key=x", "no ?query"),
    (options.proxy_url, "socks5://127.0.0.1:1080", "such as http://host"),
    (options.api_key, "two words", "has a space"),
    (options.api_key, "AIza\u2013x", "outside ASCII"),
    (options.api_key, "AIza\x07", "control character"),
    (options.store_url, "memory", "must be memory: or sqlite:PATH, such as sqlite:/var/lib/agproxy/state.db"),
    (options.store_url, "memory:x", "must be memory: or sqlite:PATH"),
    (options.store_url, "sqlit:/x.db", "must be memory: or sqlite:PATH"),
    (options.store_url, "/var/lib/x.db", "must be memory: or sqlite:PATH"),
    (options.store_url, ":memory:", "must be memory: or sqlite:PATH"),
    (options.store_url, "file:x.db", "must be memory: or sqlite:PATH"),
    (options.store_url, "postgresql://box", "must be memory: or sqlite:PATH"),
    (options.store_url, "sqlite", "must be memory: or sqlite:PATH"),
    (options.store_url, "sqlite: ", "names no file; write sqlite:PATH, or nothing at all for the usual place"),
    (options.store_url, "sqlite::memory:", "is written memory:"),
    (options.store_url, "sqlite://x.db", "is written without //: sqlite:/PATH from the root, sqlite:PATH from the"),
    (options.store_url, "sqlite:///var/lib/x.db", "is written without //"),
    (
        options.store_url,
        "redis:",
        "must be redis://HOST:PORT/DATABASE, rediss://... (with TLS) or unix:///PATH?db=DATABASE",
    ),
    (options.store_url, "redis://", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://:6379", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis:box", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box:0", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box:99999", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box..lan", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box/state", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box/0/1", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box?db=x", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box?db", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "redis://box /0", "must be redis://HOST:PORT/DATABASE"),
    (
        options.store_url,
        "redis://:pass#word@box",
        "in a password, letters and digits may stand as they are, all else as %XX",
    ),
    (options.store_url, "redis://:pass/word@box", "in a password, letters and digits may stand as they are"),
    (options.store_url, "redis://:12?x=word@box", "in a password, letters and digits may stand as they are"),
    (options.store_url, "redis://box?socket_timeout=5", "has an unknown ?option; there is db, client_name"),
    (options.store_url, "redis://box?ssl_ca_certs=/x", "has an unknown ?option; there is db, client_name"),
    (
        options.store_url,
        "rediss://box?ssl_ca_cert=/x",
        "has an unknown ?option; did you mean 'ssl_ca_certs'?; there is db,",
    ),
    (options.store_url, "unix://box/run/redis.sock", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "unix:///", "must be redis://HOST:PORT/DATABASE"),
    (options.store_url, "valkey://box", "must be memory: or sqlite:PATH"),
    (options.store_url, "memory:\nsqlite:x", "one line only"),
    (options.check_notation, '"quoted"', "without quotes"),
    (options.check_notation, "box.lan\nport = 1", "begin options in column 1"),
    (options.check_notation, "8045 # mine", "begins with ' ;'"),
    (options.check_notation, "a\u200bb", "invisible"),
]


@pytest.mark.parametrize(("cast", "text", "value"), VALUES)
def test_text_is_cast(cast: Cast, text: str, value: object) -> None:
    assert cast(text) == value


@pytest.mark.parametrize(("cast", "text", "complaint"), REFUSALS)
def test_text_is_refused_with_what_is_wanted(cast: Cast, text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words are compared below
        cast(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "AIza\u2013x", "AIza\x07"])
def test_refusal_of_a_key_does_not_hold_it(key: str) -> None:
    with pytest.raises(ValueError, match="the key has") as caught:
        options.api_key(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(("pattern", "target"), [("gpt-4*", "gemini-pro-latest"), ("models/x:free", "gemini@001")])
def test_model_rule(pattern: str, target: str) -> None:
    assert options.model_rule(pattern, target) == (pattern, target)


@pytest.mark.parametrize(
    ("pattern", "target"), [("gpt 4", "x"), ("a", ""), ("a", "gemini-*"), ("a", "../x"), ("a\u00e9", "x")]
)
def test_model_rule_that_is_no_name_is_refused(pattern: str, target: str) -> None:
    with pytest.raises(ValueError, match="must be a model name"):
        options.model_rule(pattern, target)

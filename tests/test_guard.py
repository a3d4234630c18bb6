"""Guards on a request's head: Host, Origin, content type, and where it comes from."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import guard, options
from agproxy.config import Server
from agproxy.errors import BadRequest, Forbidden, GatewayError, UnsupportedMedia

HOST = "127.0.0.1:8045"


def environ(**values: Any) -> dict[str, Any]:
    """A request's head as it comes from this machine; None takes a value away."""
    head = {"HTTP_HOST": HOST, "wsgi.url_scheme": "http", "REMOTE_ADDR": "127.0.0.1", "RAW_URI": "/v1/models"}
    return {name: value for name, value in {**head, **values}.items() if value is not None}


def host(name: str | None, server: Server | None = None) -> None:
    guard.check(environ(HTTP_HOST=name), server or Server())


# Host.


@pytest.mark.parametrize(
    "name",
    [
        *("127.0.0.1", "127.0.0.1:8045", "127.0.0.1:1", "127.0.0.1:", "127.255.0.7:8045"),
        *("localhost", "localhost:8045", "LocalHost:8045", "agproxy.localhost", "a.b.localhost:8045"),
        *("[::1]", "[::1]:8045", "[0:0:0:0:0:0:0:1]:8045", "[::ffff:127.0.0.1]:8045", "[::FFFF:7F00:1]"),
    ],
)
def test_host_that_can_only_mean_this_machine_is_served(name: str) -> None:
    host(name)


@pytest.mark.parametrize(
    "name",
    [
        *("evil.com", "evil.com:8045", "agproxy", "box.lan", "8.8.8.8", "192.168.1.5:8045", "0.0.0.0:8045"),
        *("[::]:8045", "[fd00::1]:8045", "[::ffff:8.8.8.8]", "169.254.169.254"),
        # names that only look local
        *("127.0.0.1.evil.com", "localhost.evil.com", "evil-localhost", "notlocalhost", "localhost.", "127.0.0.1."),
        *("127.0.0.1.nip.io", "evil.com.", "localhost.com", "xn--localhost"),
        # user names, and what else is no host and port
        *("127.0.0.1@evil.com", "localhost@evil.com", "127.0.0.1:80@evil.com", "localhost:8045@evil.com:80"),
        *("evil.com@127.0.0.1", "user:x@localhost", "[::1].evil.com", "[::1]evil.com", "[::1]:80@evil.com", "[::1"),
        *("[127.0.0.1", "::1]", "localhost:8045:8045", "localhost:abc", "localhost:-1", "localhost/evil.com"),
        *("evil.com/.localhost", "evil.com#.localhost", "evil.com?.localhost", "evil.com\\.localhost"),
        *("evil.com .localhost", "localhost evil.com", "localhost,evil.com", "evil.com\t.localhost", "a@b.localhost"),
        *(" ", ":", ":8045", "[]", "[]:8045", ".", "*", "loc\xe0lhost", "\xb2\xb9"),
        # addresses in other dress: a browser never sends them so
        *("2130706433", "2130706433:8045", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.01"),
        *("::1", "::1:8045", "127.0.0.1%00", "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1"),
    ],
)
def test_other_host_is_refused_and_told_how_to_be_let_in(name: str) -> None:
    with pytest.raises(Forbidden, match=r"http://127\.0\.0\.1:8045, .* add it to allowed_hosts") as caught:
        host(name)
    assert (caught.value.status, caught.value.code) == (403, "host_not_allowed")


@pytest.mark.parametrize("name", [None, ""])
def test_missing_host_is_refused(name: str | None) -> None:
    with pytest.raises(BadRequest, match="no Host header") as caught:
        host(name)
    assert caught.value.code == "invalid_host"


@pytest.mark.parametrize("name", ["192.168.1.5:8045", "8.8.8.8", "[fd00::1]:8045", "[fe80::1%eth0]:8045", "0.0.0.0:1"])
def test_any_address_is_served_when_the_local_network_may_come_in(name: str) -> None:
    host(name, Server(allow_lan_access=True))


@pytest.mark.parametrize("name", ["evil.com", "127.0.0.1.evil.com", "192.168.1.5@evil.com", "192.168.1.5:1@evil.com"])
def test_name_is_refused_even_when_the_local_network_may_come_in(name: str) -> None:
    with pytest.raises(Forbidden):
        host(name, Server(allow_lan_access=True))


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("box.lan", "box.lan"),
        ("box.lan", "box.lan:8045"),
        ("box.lan", "BOX.Lan:443"),
        ("Box.lan", "box.lan"),
        ("box.lan:8045", "box.lan:8045"),
        ("10.0.0.7", "10.0.0.7:8045"),
        ("[fd00::1]", "[fd00::1]"),
        ("[fd00::1]", "[FD00::1]:8045"),
        ("[fd00::1]:8045", "[fd00::1]:8045"),
        ("one.example, two.example", "two.example"),
    ],
)
def test_allowed_host_is_served(allowed: str, name: str) -> None:
    host(name, Server(allowed_hosts=options.allowed_hosts(allowed)))


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("box.lan:8045", "box.lan"),
        ("box.lan:8045", "box.lan:8046"),
        ("box.lan", "sub.box.lan"),
        ("box.lan", "box.lan.evil.com"),
        ("box.lan", "box.lan."),
        ("box.lan", "box.lan:80@evil.com"),
        ("[fd00::1]:8045", "[fd00::1]:8046"),
    ],
)
def test_host_that_is_only_like_an_allowed_one_is_refused(allowed: str, name: str) -> None:
    with pytest.raises(Forbidden):
        host(name, Server(allowed_hosts=options.allowed_hosts(allowed)))


def test_refused_host_is_told_the_port_that_is_listened_on() -> None:
    with pytest.raises(Forbidden, match=r"Use http://127\.0\.0\.1:9999,"):
        guard.check(environ(HTTP_HOST="evil.com", SERVER_PORT="9999"), Server(port=8045))


def test_refused_host_is_shown_in_short_plain_ascii() -> None:
    with pytest.raises(Forbidden) as caught:
        host("\xe9\r\n" + "x" * 5000)
    assert caught.value.message.isascii()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 350


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_host_of_an_absolute_target_is_checked_too(name: str) -> None:
    head = environ(RAW_URI=None)
    for target in (
        "http://localhost:8045/v1/models",
        "/v1/models?to=http://evil.com/",
        "//evil.com/v1/models",
        "*",
        "",
    ):
        guard.check({**head, name: target}, Server())
    for target in ("http://evil.com/v1/models", "https://evil.com:8045/", "HTTP://127.0.0.1:1@evil.com/"):
        with pytest.raises(Forbidden, match="allowed_hosts"):
            guard.check({**head, name: target}, Server())


@pytest.mark.parametrize(
    "target", ["http:///v1/models", "http://[/v1/models", "http://[::1/", "http://]/", "x://[v.1]"]
)
def test_absolute_target_without_a_host_is_refused(target: str) -> None:
    with pytest.raises(GatewayError) as caught:
        guard.check(environ(RAW_URI=target), Server())
    assert caught.value.status in (400, 403)


def test_absolute_target_does_not_stand_in_for_the_host() -> None:
    with pytest.raises(BadRequest, match="no Host header"):
        guard.check(environ(HTTP_HOST=None, RAW_URI="http://127.0.0.1:8045/v1/models"), Server())


LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
PIECES = st.lists(
    st.sampled_from(["127.0.0.1", "localhost", "[::1]", ":", "@", ".", "evil.com", "80", "/", "[", "]", "%", "#"]),
    max_size=6,
).map("".join)


@given(LATIN | PIECES, LATIN | PIECES, LATIN | PIECES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_head_is_let_in_or_refused(name: str, target: str, origin: str) -> None:
    try:
        guard.check(environ(HTTP_HOST=name, RAW_URI=f"http://{target}", HTTP_ORIGIN=origin), Server())
    except GatewayError as error:
        assert error.status in (400, 403)  # noqa: PT017 - most heads are refused, some are not


@given(PIECES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_host_that_holds_a_foreign_name_is_never_let_in(name: str) -> None:
    with pytest.raises(GatewayError):
        host(f"{name}evil.com")
    if "localhost" not in name.rpartition(".")[2]:
        with pytest.raises(GatewayError):
            host(f"evil.com{name}")


# Origin.


def origin(value: str | None, server: Server | None = None, **others: Any) -> None:
    guard.check(environ(HTTP_ORIGIN=value, **others), server or Server())


@pytest.mark.parametrize(
    ("value", "others"),
    [
        (None, {}),
        (f"http://{HOST}", {}),
        ("HTTP://127.0.0.1:8045", {}),
        ("http://localhost", {"HTTP_HOST": "localhost"}),
        ("http://[::1]:8045", {"HTTP_HOST": "[::1]:8045"}),
        ("https://localhost", {"HTTP_HOST": "LocalHost", "wsgi.url_scheme": "https"}),
    ],
)
def test_page_of_our_own_is_served(value: str | None, others: dict[str, Any]) -> None:
    origin(value, **others)


@pytest.mark.parametrize(
    "value",
    [
        *("https://evil.com", "null", "", " ", "file://", "chrome-extension://abc"),
        *("http://127.0.0.1", "http://127.0.0.1:3000", "http://127.0.0.1:80450", "http://localhost:8045"),
        *("https://127.0.0.1:8045", "127.0.0.1:8045", "//127.0.0.1:8045", "http://127.0.0.1:8045.evil.com"),
        *("http://127.0.0.1:8045@evil.com", "http://evil.com/http://127.0.0.1:8045", "http://127.0.0.1:8045/"),
        f"http://{HOST} http://evil.com",
    ],
)
def test_page_of_another_origin_is_refused(value: str) -> None:
    with pytest.raises(Forbidden, match=r"add its origin to allowed_origins") as caught:
        origin(value)
    assert (caught.value.status, caught.value.code) == (403, "origin_not_allowed")


def test_page_that_the_operator_allowed_is_served() -> None:
    server = Server(allowed_origins=options.origins("https://App.example.com, chrome-extension://abc"))
    origin("https://app.example.com", server)
    origin("https://APP.example.com", server, HTTP_SEC_FETCH_SITE="cross-site")
    origin("chrome-extension://abc", server)
    for other in ("http://app.example.com", "https://app.example.com:444", "https://x.app.example.com", "null"):
        with pytest.raises(Forbidden):
            origin(other, server)


def test_host_that_was_made_to_point_here_is_not_our_own_origin() -> None:
    with pytest.raises(Forbidden, match="allowed_hosts"):
        origin("http://evil.com:8045", HTTP_HOST="evil.com:8045")


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", None])
def test_request_of_the_user_or_the_same_site_is_served(site: str | None) -> None:
    guard.check(environ(HTTP_SEC_FETCH_SITE=site), Server())


def test_request_of_another_site_is_refused_without_an_origin_too() -> None:
    with pytest.raises(Forbidden, match="other web sites") as caught:
        guard.check(environ(HTTP_SEC_FETCH_SITE="cross-site"), Server())
    assert caught.value.code == "cross_site"


def test_only_an_allowed_origin_is_told_so() -> None:
    server = Server(allowed_origins=("https://app.example.com",))
    assert guard.allowed_origin(environ(HTTP_ORIGIN="https://app.example.com"), server) == "https://app.example.com"
    for other in (None, "null", "https://evil.com", f"http://{HOST}"):
        assert guard.allowed_origin(environ(HTTP_ORIGIN=other), server) is None
    assert guard.allowed_origin(environ(HTTP_ORIGIN="https://app.example.com"), Server()) is None


# Content type.


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "", " ", "application/json", "Application/JSON", "application/json; charset=utf-8", "text/json"),
        *("application/vnd.api+json", "application/json;", " application/json ", "; charset=utf-8"),
    ],
)
def test_json_or_nothing_stated_is_taken(content_type: str | None) -> None:
    guard.check_content_type(environ(CONTENT_TYPE=content_type))


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "text/plain; charset=application/json", "application/x-www-form-urlencoded", "text/html"),
        *("multipart/form-data; boundary=x", "application/jsonp", "application/json, text/plain", "json", "+json"),
        *("text/plain+json", "application/octet-stream", "x" * 5000, "application/\xe9", "text/plain\r\nx: y"),
    ],
)
def test_other_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia, match="must be application/json, not ") as caught:
        guard.check_content_type(environ(CONTENT_TYPE=content_type))
    assert caught.value.status == 415
    assert len(caught.value.message) < 150
    assert "\n" not in caught.value.message


# Where a request comes from.


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_local(address: str) -> None:
    assert guard.is_local(environ(REMOTE_ADDR=address))


@pytest.mark.parametrize(
    "address",
    ["192.168.1.5", "8.8.8.8", "fd00::1", "fe80::1%lo", "::ffff:8.8.8.8", "0.0.0.0", "::", "", None, "localhost", "x"],
)
def test_other_address_or_none_is_not_local(address: str | None) -> None:
    assert not guard.is_local(environ(REMOTE_ADDR=address))


@pytest.mark.parametrize(
    "header",
    [
        *("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "X_CLIENT_IP"),
        *("TRUE_CLIENT_IP", "CF_CONNECTING_IP", "VIA"),
    ],
)
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
def test_forwarded_request_is_never_local(header: str, value: str) -> None:
    assert not guard.is_local(environ(**{f"HTTP_{header}": value}))


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "address"),
    [
        ("", "10.0.0.1", "9.9.9.9", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "10.0.0.2", "9.9.9.9", "10.0.0.2"),
        ("10.0.0.0/8", "10.0.0.1", "9.9.9.9, 10.0.0.2", "9.9.9.9"),
        ("10.0.0.1", "10.0.0.1", "9.9.9.9,10.0.0.2", "10.0.0.2"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 9.9.9.9 ,10.0.0.2", "9.9.9.9"),  # the first one the client made up
        ("10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, ", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 9.9.9.9:4711", "10.0.0.1"),
        ("fd00::/8", "fd00::1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "::ffff:127.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.0/8", "fd00::1", "9.9.9.9", "fd00::1"),
        ("10.0.0.0/8", None, "9.9.9.9", "-"),
        ("10.0.0.0/8", "", "9.9.9.9", "-"),
        ("10.0.0.0/8", "unix:", "9.9.9.9", "unix:"),
    ],
)
def test_client_is_as_far_away_as_trusted_proxies_say(
    trusted: str, remote: str | None, forwarded: str | None, address: str
) -> None:
    head = environ(REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded)
    assert guard.client_address(head, options.networks(trusted)) == address

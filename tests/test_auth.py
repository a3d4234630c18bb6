"""agproxy's own key: every mode, from near and far, in every place."""

import pytest
from werkzeug.datastructures import EnvironHeaders

from agproxy.auth import check, effective_mode, presented_key
from agproxy.errors import Forbidden, Unauthorized

KEY = "sk-Xq7-a-real-key"


def headers(**values: str) -> EnvironHeaders:
    return EnvironHeaders({f"HTTP_{name.upper()}": value for name, value in values.items()})


def let_in(
    mode: str, *, key: str = KEY, presented: str | None = None, is_local: bool = True, is_health: bool = False
) -> None:
    check(mode=mode, key=key, presented=presented, is_local=is_local, is_health=is_health)


# Where the key is.


@pytest.mark.parametrize(
    ("sent", "query_key", "key"),
    [
        ({"authorization": f"Bearer {KEY}"}, None, KEY),
        ({"authorization": f"bearer {KEY}"}, None, KEY),
        ({"authorization": f"BEARER   {KEY} "}, None, KEY),
        ({"x_api_key": KEY}, None, KEY),
        ({"x_goog_api_key": KEY}, None, KEY),
        ({}, KEY, KEY),
        ({}, None, None),
        ({}, "", None),
    ],
)
def test_key_is_found_in_each_of_its_places(sent: dict[str, str], query_key: str | None, key: str | None) -> None:
    assert presented_key(headers(**sent), query_key) == key


def test_first_place_counts() -> None:
    places = [("authorization", "Bearer one"), ("x_api_key", "two"), ("x_goog_api_key", "three")]
    found = [presented_key(headers(**dict(places[start:])), "four") for start in range(4)]
    assert found == ["one", "two", "three", "four"]


@pytest.mark.parametrize("empty", ["", "Bearer", "Bearer ", "Bearer   ", "Basic dXNlcjpwYXNz", "Token x", KEY])
def test_authorization_without_a_bearer_key_is_passed_over(empty: str) -> None:
    assert presented_key(headers(authorization=empty), None) is None
    assert presented_key(headers(authorization=empty, x_api_key=KEY), None) == KEY


@pytest.mark.parametrize("empty", ["x_api_key", "x_goog_api_key"])
def test_empty_header_is_passed_over(empty: str) -> None:
    assert presented_key(headers(**{empty: ""}), KEY) == KEY


# Modes.


@pytest.mark.parametrize("mode", ["off", "strict", "all_except_health"])
@pytest.mark.parametrize("allow_lan_access", [True, False])
def test_mode_that_is_named_stands(mode: str, allow_lan_access: bool) -> None:
    assert effective_mode(mode, allow_lan_access=allow_lan_access) == mode


def test_mode_auto_asks_for_a_key_once_others_can_reach_agproxy() -> None:
    assert effective_mode("auto", allow_lan_access=True) == "all_except_health"
    assert effective_mode("auto", allow_lan_access=False) == "off"


@pytest.mark.parametrize("key", ["", KEY, "changeme"])
@pytest.mark.parametrize("presented", [None, KEY, "wrong"])
@pytest.mark.parametrize("is_health", [True, False])
def test_off_serves_this_machine_whatever_the_key(key: str, presented: str | None, is_health: bool) -> None:
    let_in("off", key=key, presented=presented, is_health=is_health)


@pytest.mark.parametrize("presented", [None, KEY])
@pytest.mark.parametrize("is_health", [True, False])
def test_off_serves_nobody_else(presented: str | None, is_health: bool) -> None:
    with pytest.raises(Forbidden, match="answers this machine only") as caught:
        let_in("off", presented=presented, is_local=False, is_health=is_health)
    assert caught.value.code == "local_only"
    assert "api_key" in caught.value.message


@pytest.mark.parametrize("mode", ["strict", "all_except_health"])
@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("is_health", [True, False])
def test_right_key_opens(mode: str, is_local: bool, is_health: bool) -> None:
    let_in(mode, presented=KEY, is_local=is_local, is_health=is_health)


@pytest.mark.parametrize("mode", ["strict", "all_except_health"])
@pytest.mark.parametrize("is_local", [True, False])
def test_missing_key_is_told_where_it_belongs(mode: str, is_local: bool) -> None:
    with pytest.raises(Unauthorized, match="is missing: send it as 'Authorization: Bearer") as caught:
        let_in(mode, is_local=is_local)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


@pytest.mark.parametrize("mode", ["strict", "all_except_health"])
@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize(
    "presented",
    [
        *("wrong", KEY[:-1], KEY + "x", KEY.upper(), f" {KEY}", f"{KEY}\0", "", "x" * 100_000),
        *("sch\u00f6n", "\xe9", "\u65e5\u672c", "\ud800"),
    ],
)
def test_wrong_key_is_refused_and_never_shown(mode: str, is_local: bool, presented: str) -> None:
    with pytest.raises(Unauthorized, match="not agproxy's key") as caught:
        let_in(mode, presented=presented, is_local=is_local)
    assert caught.value.status == 401
    assert KEY not in caught.value.message
    assert not presented or presented not in caught.value.message


def test_key_is_not_asked_for_health_in_all_except_health_only() -> None:
    let_in("all_except_health", is_health=True, is_local=False)
    let_in("all_except_health", is_health=True, is_local=False, key="")
    with pytest.raises(Unauthorized):
        let_in("strict", is_health=True)


@pytest.mark.parametrize("mode", ["strict", "all_except_health"])
@pytest.mark.parametrize("presented", [None, "", KEY])
@pytest.mark.parametrize("is_local", [True, False])
def test_empty_configured_key_refuses_everybody_and_says_why(mode: str, presented: str | None, is_local: bool) -> None:
    with pytest.raises(Unauthorized, match="has none configured") as caught:
        let_in(mode, key="", presented=presented, is_local=is_local)
    assert (caught.value.status, caught.value.code) == (401, "no_key_configured")
    assert "api_key" in caught.value.message


@pytest.mark.parametrize("mode", ["strict", "all_except_health"])
@pytest.mark.parametrize("key", ["changeme", "CHANGEME", "your-api-key", "sk-test", "dummy", "sk-..."])
def test_placeholder_key_serves_this_machine_only(mode: str, key: str) -> None:
    let_in(mode, key=key, presented=key)
    for presented in (key, None, "wrong"):
        with pytest.raises(Forbidden, match="placeholder") as caught:
            let_in(mode, key=key, presented=presented, is_local=False)
        assert caught.value.code == "placeholder_key"


def test_health_does_not_mind_a_placeholder() -> None:
    let_in("all_except_health", key="changeme", is_local=False, is_health=True)


def test_key_outside_ascii_is_compared_by_its_bytes() -> None:
    # The INI takes ASCII keys only: a header's bytes reach WSGI as Latin-1, so another could come by ?key= alone.
    let_in("strict", key="sch\u00f6n", presented="sch\u00f6n")
    with pytest.raises(Unauthorized):
        let_in("strict", key="sch\u00f6n", presented="sch\u00f6n".encode().decode("latin-1"))

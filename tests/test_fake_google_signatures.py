"""The fake Google and thought signatures: issued ones, foreign ones, dummies."""

import base64
import json
from typing import Any

import pytest

from tests.fake_google import DUMMIES, Refusal, Rules, is_dummy, validate
from tests.fake_google.bodies import (
    FLASH_3,
    FLASH_25,
    Json,
    call,
    model,
    result,
    talk,
    user,
)
from tests.fake_google.signatures import CORRUPTED, INVALID, NOT_VALID, SignatureLedger

SKIP = DUMMIES[0]


def check(ledger: SignatureLedger, *contents: Json, project: str = "a") -> tuple[tuple[int, int], ...]:
    return validate(FLASH_3, json.dumps(talk(*contents)).encode(), Rules(ledger, project)).dummies


def test_an_issued_signature_is_taken_on_its_part() -> None:
    ledger = SignatureLedger()
    of_call, of_text = ledger.issue("a", ("f", {})), ledger.issue("a")
    old = {"text": "", "thoughtSignature": of_text}
    assert check(ledger, user("a"), model("b", old), user("c"), model(call(signature=of_call)), user(result())) == ()


def test_an_issued_signature_is_taken_in_the_url_safe_alphabet() -> None:
    ledger = SignatureLedger()
    signature = ledger.issue("a", ("f", {}))
    assert "+" in signature
    assert "/" in signature
    other = signature.replace("+", "-").replace("/", "_").rstrip("=")
    check(ledger, user("a"), model(call(signature=other)), user(result()))


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(lambda signature: model(call("g", signature)), id="another function"),
        pytest.param(lambda signature: model(call(signature=signature, args={"x": 1})), id="other arguments"),
        pytest.param(lambda signature: model({"text": "a", "thoughtSignature": signature}), id="text"),
    ],
)
def test_an_issued_signature_is_refused_on_another_part(moved: Any) -> None:
    ledger = SignatureLedger()
    content = moved(ledger.issue("a", ("f", {})))
    results = [result(part["functionCall"]["name"]) for part in content["parts"] if "functionCall" in part]
    with pytest.raises(Refusal, match=NOT_VALID):
        check(ledger, user("a"), content, user(*results) if results else user("b"))


def test_a_text_signature_is_refused_on_a_call() -> None:
    ledger = SignatureLedger()
    with pytest.raises(Refusal, match=NOT_VALID):
        check(ledger, user("a"), model(call(signature=ledger.issue("a"))), user(result()))


@pytest.mark.parametrize("words", [NOT_VALID, CORRUPTED, INVALID])
def test_a_signature_of_another_project_is_refused_if_bound(words: str) -> None:
    ledger = SignatureLedger(bind_to_project=True, refusal_words=words)
    content = model(call(signature=ledger.issue("a", ("f", {}))))
    check(ledger, user("a"), content, user(result()), project="a")
    with pytest.raises(Refusal, match=words):
        check(ledger, user("a"), content, user(result()), project="b")


def test_a_forgotten_signature_is_refused() -> None:
    ledger = SignatureLedger()
    content = model(call(signature=ledger.issue("a", ("f", {}))))
    ledger.forget()
    with pytest.raises(Refusal, match=NOT_VALID):
        check(ledger, user("a"), content, user(result()))


def test_dummies_are_counted_and_told_by_place() -> None:
    first = model("t", call(signature=SKIP))
    assert check(SignatureLedger(), user("a"), first, user(result()), model(call(signature=SKIP)), user(result())) == (
        (1, 1),
        (3, 0),
    )


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        pytest.param(FLASH_25, [user("a"), model(call(signature=SKIP)), user(result())], id="family 2"),
        pytest.param(FLASH_3, [user("a"), model(call(signature=SKIP)), user(result()), user("b")], id="earlier turn"),
        pytest.param(
            FLASH_3,
            [user("a"), model(call(signature=SKIP), call("g", SKIP)), user(result(), result("g"))],
            id="second call",
        ),
        pytest.param(FLASH_3, [user("a"), model({"text": "b", "thoughtSignature": SKIP}), user("c")], id="text"),
    ],
)
def test_a_dummy_that_nobody_needs_is_refused_only_if_strict(name: str, contents: list[Json]) -> None:
    body = json.dumps(talk(*contents)).encode()
    validate(name, body)
    with pytest.raises(Refusal, match="not needed"):
        validate(name, body, Rules(SignatureLedger(strict_dummies=True)))


def test_image_models_do_not_enforce_signatures() -> None:
    validate("gemini-3-pro-image", json.dumps(talk(user("a"), model(call()), user(result()))).encode())


@pytest.mark.parametrize("word", DUMMIES)
def test_dummies_are_known_raw_and_encoded(word: str) -> None:
    assert is_dummy(word)
    assert is_dummy(base64.b64encode(word.encode()).decode())
    assert not is_dummy("c29tZXRoaW5n")

"""F9, F30, F32, F37 and F38 through the whole app: ends out of the ordinary, and what image models do."""

import logging

import pytest

from tests.fake_google import DUMMIES, Answer, FakeGoogle, blocked, error, finished, parts, text
from tests.fake_google.script import Chunk, PartSpec
from tests.whole_app import WholeApp

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (text("Yes.", finish="OTHER", finish_message="out of luck"), "OTHER: out of luck"),
        (text("Yes.", finish="A_REASON_OF_2031"), "A_REASON_OF_2031"),
        (text("Once", finish="SAFETY", finish_message="a gun"), "SAFETY: a gun"),
        (finished("RECITATION", "a book"), "RECITATION: a book"),
        (blocked("PROHIBITED_CONTENT"), "PROHIBITED_CONTENT"),
    ],
)
def test_end_out_of_the_ordinary_is_in_the_log(
    google: FakeGoogle, caplog: pytest.LogCaptureFixture, answer: Answer, words: str, stream: bool
) -> None:
    """F38"""
    google.enqueue(answer)
    with caplog.at_level(logging.INFO, logger="agproxy"):
        WholeApp(google).answer(stream=stream)
    assert words in caplog.text


@both
def test_ordinary_end_is_not_in_the_log(google: FakeGoogle, caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    google.enqueue(text("Yes."))
    with caplog.at_level(logging.INFO, logger="agproxy"):
        WholeApp(google).answer(stream=stream)
    assert "answer ended" not in caplog.text


DRAFT = {"inlineData": {"mimeType": "image/png", "data": "RFJBRlQ="}, "thought": True}
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAAAAA"}}


@both
def test_draft_among_the_thoughts_is_no_picture_of_the_answer(google: FakeGoogle, stream: bool) -> None:
    """F9"""
    google.enqueue(parts(DRAFT, PICTURE))
    message = WholeApp(google).answer(stream=stream, model="gemini-3-pro-image")["message"]
    assert [image["image_url"]["url"] for image in message["images"]] == ["data:image/png;base64,iVBORw0KGgoAAAAA"]


def test_drafts_alone_are_an_empty_answer(google: FakeGoogle) -> None:
    """F37"""
    google.enqueue(parts(DRAFT), text("Better."))
    message = WholeApp(google).answer(stream=False, model="gemini-3-pro-image")["message"]
    assert message["content"] == "Better."


# Pictures and their signatures.

SIGNED_PICTURE = Answer((Chunk((PartSpec(PICTURE, sign=True),), finish="STOP"),))
MISSED = error(400, "INVALID_ARGUMENT", "Image part is missing a thought_signature in content position 2.")
AGAIN = {"role": "user", "content": "Make it blue."}


def model_parts(google: FakeGoogle) -> list[dict[str, object]]:
    (content,) = [each for each in google.requests[-1].body["contents"] if each["role"] == "model"]
    return list(content["parts"])


@both
def test_signature_of_a_picture_goes_out_and_comes_back_with_it(google: FakeGoogle, stream: bool) -> None:
    """F30"""
    app = WholeApp(google)
    google.enqueue(SIGNED_PICTURE)
    message = app.answer(stream=stream, model="gemini-3-pro-image")["message"]
    signature = message["images"][0]["extra_content"]["google"]["thought_signature"]
    history = [{"role": "user", "content": "Draw."}, {"role": "assistant", "images": message["images"]}, AGAIN]
    app.answer(stream=stream, model="gemini-3-pro-image", messages=history)
    assert model_parts(google) == [{**PICTURE, "thoughtSignature": signature}]
    google.assert_no_refusals()


def test_unsigned_picture_gets_the_dummy_once_the_model_has_missed_one() -> None:
    """F32"""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE['inlineData']['data']}"}}
    spoken = {"role": "assistant", "content": "Here.", "images": [picture]}
    with FakeGoogle() as google:
        google.enqueue(MISSED, text("Blue."))
        history = [{"role": "user", "content": "Draw."}, spoken, AGAIN]
        WholeApp(google).answer(stream=False, model="gemini-3-pro-image", messages=history)
        assert [part["thoughtSignature"] for part in model_parts(google)] == [DUMMIES[0]] * 2
        assert all("thoughtSignature" not in part for part in google.requests[0].body["contents"][1]["parts"])

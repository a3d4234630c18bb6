"""The conversation table through agproxy: from every client, Gemini receives the same, and every client hears the same.

See ``tests/conversation``, also for how the next protocol joins. Streamed and whole answers must not differ either:
both are held against the one ``heard`` of the table.
"""

from contextlib import closing

import pytest

from tests.conversation.play import play
from tests.conversation.speakers import SPEAKERS
from tests.conversation.table import MODELS
from tests.e2e.conftest import Agproxy
from tests.fake_google import FakeGoogle


@pytest.mark.parametrize("speaker_name", SPEAKERS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_conversation(agproxy: Agproxy, google: FakeGoogle, model: str, streamed: bool, speaker_name: str) -> None:
    with closing(SPEAKERS[speaker_name](agproxy.url, model)) as speaker:
        google.native = speaker.is_native
        for step in play(speaker, google, model=model, streamed=streamed):
            step.check()
    google.assert_no_refusals()
    assert google.pending == 0

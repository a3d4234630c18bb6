"""A strict fake of Google's Gemini API for tests: it refuses what the real one refuses, and answers what it is told.

::

    with FakeGoogle() as google:                       # keys test-key-a, -b, -c, each of a project of its own
        google.enqueue(quota_per_minute("2s"), key="test-key-a")
        google.enqueue(thoughts("Hm.") + text("Hel", "lo"), calls(("f", {"x": 1})), lambda request: text("..."))
        google.enqueue(cut(text("a", "b"), after_events=1, how="rst"), slow(text("c"), first_byte_s=0.1))
        google.default = text("whatever comes after")      # or by_key({"test-key-a": unavailable()}, text("b and c"))
        ...                                            # the system under test calls google.url
        google.assert_no_refusals()
        assert google.requests[0].canonical["generation_config"] == {"top_p": 1}

Bodies and answers that a gateway hands on untouched, ``FakeGoogle(native=True)`` or ``google.native = True``::

    google.enqueue(raw(b"data: {...}\\r", b"\\n\\r\\n"))   # cut anywhere; a piece is a write
    google.enqueue(embeddings([0.1], [0.2]), method="batchEmbedContents")
    assert google.requests[0].raw == sent_by_the_client   # byte for byte
    assert got_by_the_client == google.requests[0].sent_raw

``server`` is what a test holds, ``script``, ``failures``, ``choose`` and ``embeddings`` are the vocabulary of answers,
``validate`` is the way into the rules (``protojson contents turns signatures tools proto_schema json_schema``
``generation``), ``handler routes delivery render logprobs models`` are how a request becomes an answer, ``grounding``
makes answers with sources, ``bodies`` helps to write requests. Where a rule is stricter than Google, its module tells.
"""

from tests.fake_google.choose import by_key, in_turn
from tests.fake_google.embeddings import embedding, embeddings
from tests.fake_google.failures import (
    api_key_expired,
    api_key_invalid,
    capacity_exhausted,
    embed_quota_per_day,
    embed_quota_per_minute,
    error,
    error_event,
    html,
    internal,
    location_not_supported,
    model_retired,
    permission_denied,
    quota_per_day,
    quota_per_day_paid,
    quota_per_minute,
    quota_zero,
    raw,
    service_disabled,
    unauthenticated,
    unavailable,
)
from tests.fake_google.families import EMBEDDING_MODELS, KNOWN_MODELS
from tests.fake_google.grounding import grounded
from tests.fake_google.record import RecordedRequest
from tests.fake_google.refusal import Refusal
from tests.fake_google.script import (
    Answer,
    Usage,
    blocked,
    calls,
    candidates,
    chunk,
    counted,
    cut,
    empty,
    finished,
    hang_up,
    image,
    no_finish,
    parts,
    slow,
    text,
    thoughts,
)
from tests.fake_google.server import FakeGoogle
from tests.fake_google.signatures import DUMMIES, is_dummy
from tests.fake_google.validate import Rules, validate

__all__ = [
    "FakeGoogle",
    "RecordedRequest",
    "Refusal",
    "Rules",
    "validate",
    "DUMMIES",
    "is_dummy",
    "Answer",
    "Usage",
    "KNOWN_MODELS",
    "EMBEDDING_MODELS",
    "text",
    "thoughts",
    "calls",
    "candidates",
    "grounded",
    "parts",
    "image",
    "chunk",
    "finished",
    "blocked",
    "empty",
    "no_finish",
    "counted",
    "embedding",
    "embeddings",
    "error",
    "error_event",
    "quota_per_minute",
    "quota_per_day",
    "quota_per_day_paid",
    "quota_zero",
    "embed_quota_per_minute",
    "embed_quota_per_day",
    "capacity_exhausted",
    "api_key_invalid",
    "api_key_expired",
    "unauthenticated",
    "model_retired",
    "permission_denied",
    "service_disabled",
    "location_not_supported",
    "unavailable",
    "internal",
    "html",
    "raw",
    "slow",
    "cut",
    "hang_up",
    "by_key",
    "in_turn",
]

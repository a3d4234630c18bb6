"""``embedContent`` and ``batchEmbedContents``: what is refused, and which vectors come back.

Wire: https://ai.google.dev/api/embeddings (EmbedContentRequest, BatchEmbedContentsRequest, ContentEmbedding). The words
as people got them: geldata/gel issue 9032 (100 requests), agent0ai/agent-zero issue 372 (format of names),
lingfengQAQ/webnovel-writer issue 49 (empty part); an inner request without a model is refused as such ("model is not
specified"), and answers hold vectors alone, without usage. The words about a missing content, an empty batch, a model
that differs from the path's, and dimensions are ours. ``taskType`` and ``title`` mean nothing to Gemini Embedding 2,
and are ignored in silence (run-llama/llama_index pull 21536).

Stricter than Google may be: a ``model`` in the body of ``embedContent`` that is not the path's.
"""

import hashlib
import math
import random
from collections.abc import Sequence

from tests.fake_google.contents import check_part
from tests.fake_google.families import Family, family_of
from tests.fake_google.refusal import FieldErrors, JsonObject, Refusal
from tests.fake_google.script import Answer

MAX_BATCH = 100
FULL_SIZE = 3072  # values; less by outputDimensionality (https://ai.google.dev/gemini-api/docs/embeddings)
_BATCH, _SINGLE = "BatchEmbedContentsRequest", "EmbedContentRequest"


def check_embed(model: str, request: JsonObject) -> None:
    """Refuse a bad embedContent request; the model may be left out of its body, since the path names it."""
    errors = FieldErrors(_SINGLE)
    if request.get("model"):
        _check_model(model, request, "", errors)
    _check_dimensions(request, "", errors)
    errors.refuse_if_any()
    _check_content(request, family_of(model))


def check_batch(model: str, request: JsonObject) -> None:
    """Refuse a bad batchEmbedContents request: every inner one names the model of the path."""
    errors = FieldErrors(_BATCH)
    requests = request.get("requests", [])
    if not requests:
        errors.add("requests", "must not be empty.")
    if len(requests) > MAX_BATCH:
        errors.add("requests", f"at most {MAX_BATCH} requests can be in one batch")
    if request.get("model"):
        _check_model(model, request, "", errors)
    for index, each in enumerate(requests):
        _check_model(model, each, f"requests[{index}].", errors)
        _check_dimensions(each, f"requests[{index}].", errors)
    errors.refuse_if_any()
    for each in requests:
        _check_content(each, family_of(model))


def embed(model: str, request: JsonObject) -> Answer:
    """The answer to a checked embedContent request."""
    return embedding(*vector_of(model, request))


def embed_batch(model: str, request: JsonObject) -> Answer:
    """The answer to a checked batchEmbedContents request, in its order."""
    return embeddings(*[vector_of(model, each) for each in request["requests"]])


def embedding(*values: float) -> Answer:
    """What embedContent answers: ``google.enqueue(embedding(0.1, 0.2), method="embedContent")``."""
    return Answer(body={"embedding": {"values": list(values)}})


def embeddings(*vectors: Sequence[float]) -> Answer:
    """What batchEmbedContents answers: ``google.enqueue(embeddings([0.1], [0.2]), method="batchEmbedContents")``."""
    return Answer(body={"embeddings": [{"values": list(vector)} for vector in vectors]})


def vector_of(model: str, request: JsonObject) -> list[float]:
    """A vector that depends on model, content and taskType alone.

    It has length one at full size, and when Gemini Embedding 2 made it; the cut ones of 001 are shorter, as they are in
    reality (the guide on embeddings, "Quality for smaller dimensions").
    """
    family = family_of(model)
    config = {**request.get("embed_content_config", {}), **request}
    task = "" if family.embeds_media else config.get("task_type", "")
    seed = hashlib.sha256(f"{model} {task} {request['content']['parts']}".encode()).digest()
    source = random.Random(seed)  # noqa: S311
    values = _unit([source.gauss(0, 1) for _ in range(FULL_SIZE)])[
        : int(config.get("output_dimensionality", FULL_SIZE))
    ]
    return [round(value, 9) for value in (_unit(values) if family.embeds_media else values)]


def _unit(values: list[float]) -> list[float]:
    length = math.hypot(*values)
    return [value / length for value in values]


def _check_model(model: str, request: JsonObject, path: str, errors: FieldErrors) -> None:
    named = request.get("model", "")
    if not named:
        errors.add(f"{path}model", "model is not specified")
    elif not named.startswith(("models/", "tunedModels/")):
        errors.add(f"{path}model", "unexpected model name format")
    elif named != f"models/{model}":
        errors.add(f"{path}model", f"must match the model of the request, models/{model}, not {named}")


def _check_dimensions(request: JsonObject, path: str, errors: FieldErrors) -> None:
    for holder, inside in ((request, path), (request.get("embed_content_config", {}), f"{path}embed_content_config.")):
        if not 1 <= int(holder.get("output_dimensionality", 1)) <= FULL_SIZE:
            errors.add(f"{inside}output_dimensionality", f"must be between 1 and {FULL_SIZE}.")


def _check_content(request: JsonObject, family: Family) -> None:
    if "content" not in request:
        raise Refusal(f"* {_SINGLE}.content: content is not specified\n")
    parts = request["content"].get("parts", [])
    counted = parts if family.embeds_media else [part for part in parts if "text" in part]
    if not counted or any(not part.keys() - {"text"} and not part.get("text") for part in counted):
        raise Refusal(f"* {_SINGLE}.content contains an empty Part.\n")
    for index, part in enumerate(counted):
        check_part(part, f"content.parts[{index}]")

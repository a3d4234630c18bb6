"""Which models there are.

Wire: https://developers.openai.com/api/reference/resources/models
"""

from typing import Any

from werkzeug import Response

from agproxy import models
from agproxy.gateway import Gateway
from agproxy.jsonwire import encode_json
from agproxy.request import Request

# The model object's creation time is required, and nobody knows it: the day Gemini was announced.
_CREATED = 1701820800


def list_models(gateway: Gateway, request: Request) -> Response:
    """What upstream lists, the names in ``[models]``, and the best known names that agproxy maps itself."""
    names: dict[str, str] = dict.fromkeys(gateway.catalog.listed(), "google")
    for name, _ in gateway.config.models:
        if "*" not in name:
            names.setdefault(name, "agproxy")
    for name in models.known_names():
        names.setdefault(name, "google" if models.is_concrete(name) else "agproxy")
    return _json({"object": "list", "data": [_model(name, owner) for name, owner in names.items()]})


def get_model(gateway: Gateway, request: Request, model: str) -> Response:
    """One model, if agproxy would answer for its name; ``X-Mapped-Model`` says with which."""
    resolution = gateway.resolve(model)
    request.mapped_model = resolution.model
    return _json(_model(model, "google" if resolution.model == model else "agproxy"))


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}


def _json(value: object) -> Response:
    return Response(encode_json(value), mimetype="application/json")

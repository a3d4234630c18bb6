"""Which models there are, in the words of whoever asks."""

from werkzeug import Response

from agproxy import models
from agproxy.catalog import Model
from agproxy.gateway import Gateway
from agproxy.jsonwire import encode_json
from agproxy.models import Listed
from agproxy.protocols import anthropic_messages
from agproxy.request import Request


def list_models(gateway: Gateway, request: Request) -> Response:
    """What upstream lists, the names in ``[models]``, and the best known names that agproxy maps itself."""
    return _json(request.protocol.encode_models(_listed(gateway), request.query()))


def get_model(gateway: Gateway, request: Request, model: str) -> Response:
    """One model, if agproxy would answer for its name; ``X-Mapped-Model`` says with which."""
    return _json(request.protocol.encode_model(_model(gateway, request, model)))


def list_for_anthropic(gateway: Gateway, request: Request) -> Response:
    """The list as clients of Anthropic read it, for those that cannot send its headers; and a model of that name."""
    listed = anthropic_messages.encode_models(_listed(gateway), request.query())
    return _json({**anthropic_messages.encode_model(_model(gateway, request, "claude")), **listed})


def _model(gateway: Gateway, request: Request, name: str) -> Listed:
    name = name.removeprefix("models/")  # as Gemini writes names
    resolution = gateway.resolve_any(name)
    request.mapped_model = resolution.model
    known = gateway.catalog.models().get(resolution.model, {})
    return Listed(name, "google" if resolution.model == name else "agproxy", resolution.model, known)


def _listed(gateway: Gateway) -> list[Listed]:
    known = gateway.catalog.models()
    listed = {name: Listed(name, "google", name, model) for name, model in known.items()}
    for name, target in gateway.config.models:
        if "*" not in name and name != models.BACKGROUND:
            listed[name] = _mapped(name, target.removeprefix("models/"), known)
    for name in models.known_names():
        if name not in listed:
            listed[name] = _mapped(name, gateway.resolve(name).model, known)
    return list(listed.values())


def _mapped(name: str, target: str, known: dict[str, Model]) -> Listed:
    return Listed(name, "google" if name == target else "agproxy", target, known.get(target, {}))


def _json(value: object) -> Response:
    return Response(encode_json(value), mimetype="application/json")

"""Whether agproxy runs."""

from werkzeug import Response

from agproxy.gateway import Gateway
from agproxy.request import Request


def healthz(gateway: Gateway, request: Request) -> Response:
    """``{"status":"ok"}`` as long as requests are served; upstream is not asked."""
    return Response(b'{"status":"ok"}', mimetype="application/json")


def hello(gateway: Gateway, request: Request) -> Response:
    """Nothing, at once: Claude Code asks for it before its first request."""
    return Response(b"", mimetype="application/json")

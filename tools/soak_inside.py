"""What a soak run serves: agproxy, and beside it what only its own process can tell, at ``GET /soak``."""

import gc
import importlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from gevent import Greenlet

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

PATH = "/soak"


def watched(app: str) -> Wsgi:
    """The application that gunicorn runs.

    :param app: the one that is watched, as ``module:name``.
    """
    module, _, name = app.partition(":")
    inner: Wsgi = getattr(importlib.import_module(module), name)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return inner(environ, start_response)
        body = json.dumps(_inside()).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


def _inside() -> dict[str, int]:
    """What there is in this process, once the garbage is gone."""
    gc.collect()
    objects = gc.get_objects()
    return {
        "pid": os.getpid(),
        "objects": len(objects),
        "greenlets": sum(isinstance(each, Greenlet) and not each.dead for each in objects) - 1,  # but for this one
        "threads": threading.active_count(),
    }

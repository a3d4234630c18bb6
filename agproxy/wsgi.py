"""``app`` for ``gunicorn -k gevent agproxy.wsgi:app``; a configuration that cannot be used stops the server here."""

import contextlib
import sys
import threading

from agproxy import log, shutdown
from agproxy.app import create_app

_M_ARENA_MAX = -8  # glibc's malloc.h


def _allocate_in_one_arena() -> None:
    """Keep memory flat under gevent: glibc gives each thread of its pool an arena of its own, and they only grow."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


_allocate_in_one_arena()
log.configure("info")  # until the configuration says otherwise
app = create_app()
log.configure(app.log_level)
_is_worker = shutdown.install(app.underway)
if _is_worker or "gunicorn.arbiter" not in sys.modules:  # else --preload: what a thread does is lost in the fork
    threading.Thread(target=app.keep_up, name="agproxy-config", daemon=True).start()

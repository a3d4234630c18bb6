"""gunicorn's settings under ``agproxy serve``, read by gunicorn itself (``--config python:...``).

Being named on the command line, this module also keeps gunicorn from running a ``gunicorn.conf.py`` that happens to
lie in the current folder. Names an older gunicorn does not know are ignored by it.
Settings: https://docs.gunicorn.org/en/stable/settings.html
"""

from typing import Any as _Any

from agproxy import last_good as _last_good

worker_class = "gevent"
worker_connections = 1000
graceful_timeout = 30  # seconds until the worker is killed; what still runs is told so before (agproxy.shutdown)
keepalive = 75  # seconds; longer than the idle time of usual HTTP clients
control_socket_disable = True  # gunicorn 25 and newer would open one file in the home for all its instances


def on_starting(server: _Any) -> None:
    """Let the workers agree; the master calls this before it forks any."""
    _last_good.share()

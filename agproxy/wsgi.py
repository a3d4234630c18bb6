"""``app`` for ``gunicorn -k gevent agproxy.wsgi:app``; a configuration that cannot be used stops the server here."""

from agproxy import log
from agproxy.app import create_app

log.configure("info")  # until the configuration says otherwise
app = create_app()
log.configure(app.log_level)

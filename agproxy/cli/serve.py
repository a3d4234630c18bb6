"""``agproxy serve``: say what is served to whom, then become gunicorn."""

import argparse
import errno
import os
import socket
import sys
import time

from agproxy import __version__, auth, options
from agproxy.cli import Commands, add_config_option, argument, load_config
from agproxy.config import KEY_PAGE, STARTED, Account, Config, Server
from agproxy.errors import ConfigError

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
BODY = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}'


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add this command's parser."""
    parser = commands.add_parser("serve", help="serve clients", description="Serve clients until stopped.")
    add_config_option(parser)
    parser.add_argument(
        "--host", type=argument(options.host), help="the address to listen on, instead of [server] host"
    )
    parser.add_argument(
        "--port", type=argument(options.integer(1, 65535)), help="the port to listen on, instead of [server] port"
    )
    parser.add_argument(
        "--workers",
        type=argument(options.integer(1, 64)),
        default=1,
        metavar="N",
        help="processes; they share their state, unless [store] url is memory: (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Check what can be checked before the start, then hand the process over to the server."""
    config = load_config(args.config, os.environ)
    address: str = args.host or config.server.host
    port: int = args.port or config.server.port
    check_exposure(config.server, address)
    if problem := port_problem(address, port):
        print(f"agproxy: {problem}", file=sys.stderr)
        return 1
    print(banner(config, host=address, port=port), flush=True)
    os.environ[STARTED] = f"{time.time():.3f}"
    if config.path is not None:
        os.environ["AGPROXY_CONFIG"] = str(config.path)
    if os.name == "nt":
        return _serve_without_gunicorn(address, port)
    argv = gunicorn_argv(config, host=address, port=port, workers=args.workers)
    return os.execv(argv[0], argv)  # noqa: S606 - our own interpreter


def check_exposure(server: Server, host: str) -> None:
    """Refuse to listen where other machines can call, unless that was asked for and a key is asked of them.

    :raises ConfigError: with the options to set.
    """
    if options.is_loopback(host):
        return
    if not server.allow_lan_access:
        raise ConfigError(
            f"{host} can be called by other machines: set [server] allow_lan_access = on and an api_key to let them in,"
            " or listen on 127.0.0.1"
        )
    if server.auth_mode == "off":
        raise ConfigError(
            "[server] allow_lan_access = on needs a key: set auth_mode = auto (or strict) and an api_key,"
            " or allow_lan_access = off"
        )


def port_problem(host: str, port: int) -> str:
    """Why this address cannot be listened on, and what to do; empty when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name != "nt":  # as gunicorn does; on Windows the option means something else
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "stop that program (perhaps it is agproxy), or choose another port: --port, or [server] port"
            return f"port {port} of {host} is in use; {remedy}"
        if error.errno == errno.EACCES:
            return f"port {port} may not be opened by this user; choose one above 1023: --port, or [server] port"
        return f"cannot listen on {host}, which must be an address of this machine: {error.strerror}"
    return ""


def gunicorn_argv(config: Config, *, host: str, port: int, workers: int) -> list[str]:
    """The command that runs gunicorn; what does not depend on the configuration is in ``gunicorn_settings``."""
    return [
        *(sys.executable, "-m", "gunicorn"),
        *("--config", "python:agproxy.cli.gunicorn_settings"),
        *("--bind", f"{_in_url(host)}:{port}"),
        *("--workers", str(workers)),
        *("--log-level", "debug" if config.log.level == "debug" else "warning"),
        "agproxy.wsgi:app",
    ]


def banner(config: Config, *, host: str, port: int) -> str:
    """What is served, from where, to whom, and how to call it."""
    root = f"http://{'127.0.0.1' if host in ANY_ADDRESS else _in_url(host)}:{port}"
    key = ' -H "Authorization: Bearer $KEY"' if auth_mode(config.server) != "off" else ""
    file = str(config.path) if config.path else "none; the defaults hold (`agproxy init` writes one)"
    lines = [
        f"agproxy {__version__}",
        f"  config    {file}",
        *(f"  {label:8}  {line}" for label, line in _upstream_lines(config)),
        f"  auth      {auth_line(config.server)}",
        f"  Base URL  {root}/v1  for OpenAI clients (OPENAI_BASE_URL, or base_url of the SDK)",
        f"            {root}     for Anthropic's (ANTHROPIC_BASE_URL) and Gemini's (GOOGLE_GEMINI_BASE_URL)",
    ]
    if host in ANY_ADDRESS:
        lines.append(f"            http://ADDRESS-OF-THIS-MACHINE:{port}  from other machines, with or without /v1")
    lines += [
        "",
        f"  Try it:   curl {root}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{BODY}'",
        "",
    ]
    return "\n".join(lines)


def auth_mode(server: Server) -> str:
    """The mode that holds: ``auto`` depends on who may call."""
    return auth.effective_mode(server.auth_mode, allow_lan_access=server.allow_lan_access)


def auth_line(server: Server) -> str:
    """The mode of authentication in words."""
    mode = auth_mode(server)
    if mode == "off":
        return "off: callers on this machine only, any text will do as their key"
    if not server.api_key:
        return f"{mode}: but [server] api_key is empty, so all requests are refused"
    return f"{mode}: clients send the api_key of the configuration"


def account_state(account: Account) -> str:
    """``ready``, ``off``, or ``out`` with the reason."""
    if account.problem:
        return f"out: {account.problem}"
    return "ready" if account.enabled else "off"


def _upstream_lines(config: Config) -> list[tuple[str, str]]:
    lines = []
    for account in config.accounts:
        service = "demo" if account.type == "demo" else f"Gemini API at {account.base_url}"
        lines.append(("upstream", f"{service}, account {account.name} ({account.source}): {account_state(account)}"))
    serving = [account for account in config.accounts if account.enabled and not account.problem]
    if not serving:
        lines.append(("NOTE", "NO ACCOUNT CAN BE USED: requests will fail until that is mended"))
    elif all(account.type == "demo" for account in serving):
        lines.append(("NOTE", "THE ANSWERS ARE MADE UP, no model is called. For real ones set GEMINI_API_KEY, or add"))
        lines.append(("", f"an [account:me] section with an api_key to the configuration; {KEY_PAGE} gives a key"))
    return lines


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _serve_without_gunicorn(host: str, port: int) -> int:
    """Serve in this process: gunicorn does not run on Windows."""
    from gevent import monkey

    monkey.patch_all()  # before anything imports requests
    from gevent.pywsgi import WSGIServer

    from agproxy.wsgi import app

    try:
        WSGIServer((host, port), app, log=None).serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0

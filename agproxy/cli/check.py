"""``agproxy check``: read the configuration as the server would, and say what would come of it. Calls nobody."""

import argparse
import os
from itertools import combinations

from agproxy import models
from agproxy.auth import is_placeholder
from agproxy.cli import Commands, add_config_option, load_config
from agproxy.cli.serve import account_state, auth_line, auth_mode, check_exposure
from agproxy.config import KEY_PAGE, Account, Config
from agproxy.errors import ConfigError
from agproxy.store import places


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add this command's parser."""
    parser = commands.add_parser(
        "check",
        help="check the configuration",
        description="Check the configuration. Exit status: 0 in order, 1 an account cannot be used, 2 unusable file.",
    )
    add_config_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    config = load_config(args.config, os.environ)
    print(report(config))
    usable = any(account.enabled and not account.problem for account in config.accounts)
    return 0 if usable and not any(account.problem for account in config.accounts) else 1


def report(config: Config) -> str:
    """The configuration in words: where from, who may call, where state is kept, the accounts, and warnings."""
    lines = [
        f"config    {config.path or 'none; the defaults hold (`agproxy init` writes one)'}",
        f"listen    {config.server.host} port {config.server.port}",
        f"auth      {auth_line(config.server)}",
        f"store     {places.address(config.store.url, os.environ)}",
    ]
    width = max(len(account.name) for account in config.accounts)
    for account in config.accounts:
        about = [account.type, *([f"project {account.project}"] if account.project else []), key_hint(account)]
        words = ", ".join(word for word in about if word)
        lines.append(f"account   {account.name:{width}}  {account_state(account)}  ({words})")
    lines += [f"warning   {warning}" for warning in warnings(config)]
    return "\n".join(lines)


def key_hint(account: Account) -> str:
    """Enough of a key to tell it from others, and no more: its last 4 characters."""
    if not account.api_key:
        return ""
    return f"key ...{account.api_key[-4:]}" if len(account.api_key) >= 20 else "key of few characters"


def warnings(config: Config) -> list[str]:
    """What works, or is refused, otherwise than one may expect."""
    server = config.server
    found = []
    try:
        check_exposure(server, server.host)
    except ConfigError as error:
        found.append(f"`agproxy serve` will refuse to start: {error}")
    if auth_mode(server) != "off" and not server.api_key:
        found.append("[server] api_key is empty, so all requests are refused; `agproxy init` writes a file with a key")
    if is_placeholder(server.api_key):
        found.append("[server] api_key looks like a placeholder; set a key that nobody can guess")
    found += _fallback_warnings(config)
    if obstacle := places.obstacle(config.store.url, os.environ):
        found.append(obstacle)
    return [*found, *pool_warnings(config)]


def pool_warnings(config: Config) -> list[str]:
    """What of the accounts works otherwise than one may expect."""
    found = []
    for account in config.accounts:
        if is_placeholder(account.api_key):
            found.append(f"the key of {account.name} looks like a placeholder; {KEY_PAGE} gives a real one")
        if account.name == config.scheduling.pin and account_state(account) != "ready":
            found.append(f"[scheduling] pin = {account.name}: this account does not serve now")
    for one, other in combinations([account for account in config.accounts if account.api_key], 2):
        if one.api_key == other.api_key:
            found.append(f"{one.name} and {other.name} have the same key; the second adds nothing")
        elif one.project and one.project == other.project:
            found.append(f"{one.name} and {other.name} are of one project, {one.project}: they share one quota")
    serving = [account for account in config.accounts if account_state(account) == "ready"]
    if not serving:
        found.append("no account can be used: all requests will fail until that is mended")
    elif all(account.type == "demo" for account in serving):
        found.append("the answers are made up (demo); set GEMINI_API_KEY or add an [account:me] for real ones")
    return found


def _fallback_warnings(config: Config) -> list[str]:
    """Lines of ``[fallback]`` that can come to nothing."""
    called = {target for _, target in config.models}
    names = dict.fromkeys(name for pair in config.fallback for name in pair)
    return [
        f"[fallback] {name}: this is not one of Google's names, as X-Mapped-Model has them"
        for name in names
        if not models.is_concrete(name) and name not in called
    ]

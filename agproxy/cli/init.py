"""``agproxy init``: write a starter INI with a key of its own, readable by its owner only."""

import argparse
import os
import secrets
import sys
from pathlib import Path

import agproxy
from agproxy.cli import Commands
from agproxy.cli.files import write_private
from agproxy.config import FILE_NAME, KEY_PAGE, find, user_path
from agproxy.errors import ConfigError

STARTER = """\
# agproxy's configuration. All options and what they mean:
# {reference}

[server]
# The key that clients send to agproxy when one is needed (see auth_mode and allow_lan_access in the reference).
api_key = {key}

# Your key of Google's Gemini API; {key_page} gives one. Take the # off the next two lines
# and put the key in, or leave them and set the environment variable GEMINI_API_KEY.
# With neither, agproxy answers in demo mode: made up, to try clients with.
#[account:me]
#api_key = AIza...
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add this command's parser."""
    parser = commands.add_parser("init", help="write a starter INI", description="Write a starter INI with a new key.")
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="the file to write, or its folder (default: $AGPROXY_CONFIG, or agproxy.ini in the user's config folder)",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument("--if-none", action="store_true", help="do nothing when a configuration file is found already")
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the file and say what comes next."""
    if args.if_none and find(os.environ) is not None:
        return 0
    path = (args.path or default_path()).expanduser().absolute()
    if path.is_dir():
        path /= FILE_NAME
    try:
        write_private(path, starter().encode(), replace=args.force)
    except FileExistsError:
        print(f"agproxy: {path} exists already and is left as it is; --force replaces it", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"agproxy: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {path} with a new api_key for your clients; keep it to yourself")
    print(f"next, put your Gemini API key into it ({KEY_PAGE}), or try demo mode without one")
    if not args.if_none:  # else tools/run is about to serve
        print(f"then: agproxy serve{'' if _is_found(path) else f' --config {path}'}")
    return 0


def starter() -> str:
    """The text of a starter INI with a new key for clients."""
    reference = Path(agproxy.__file__).with_name(FILE_NAME)
    return STARTER.format(reference=reference, key=f"agp-{secrets.token_urlsafe(32)}", key_page=KEY_PAGE)


def default_path() -> Path:
    """The file that is written when none is named.

    :raises ConfigError: nothing tells where it belongs.
    """
    if os.environ.get("AGPROXY_CONFIG"):
        return Path(os.environ["AGPROXY_CONFIG"])
    path = user_path(os.environ)
    if path is None:
        raise ConfigError("no home folder is known (HOME is not set); name the file: agproxy init PATH")
    return path


def _is_found(path: Path) -> bool:
    """Whether agproxy, started here, would take this file by itself."""
    try:
        found = find(os.environ)
    except ConfigError:
        return False
    return found is not None and found.absolute() == path

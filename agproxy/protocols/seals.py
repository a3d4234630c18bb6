"""Thought signatures on their way to a client and back, in a field whose content it does not look into.

``encrypted_content`` of Responses, ``signature`` of a thinking block of Anthropic's.
"""

import base64
import binascii
import json
from typing import Any

from agproxy.chat import Metadata
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_messages import decode_metadata

# Tells ours from anybody else's, which means nothing to Gemini.
_TAG = "agproxy1."


def seal(metadata: dict[str, Metadata]) -> str:
    """A text that carries thought signatures.

    :param metadata: ``provider_metadata`` by the id of its call.
    """
    return seal_object(metadata)


def unseal(content: object) -> dict[str, Metadata]:
    """What ``seal`` put in; nothing of another's content."""
    found = {name: decode_metadata({"extra_content": value}) for name, value in (unseal_object(content) or {}).items()}
    return {name: metadata for name, metadata in found.items() if metadata}


def seal_object(value: dict[str, Any]) -> str:
    """A text that carries a JSON object."""
    return _TAG + base64.b64encode(encode_json(value)).decode()


def unseal_object(content: object) -> dict[str, Any] | None:
    """What is sealed; None where it is another's, or was cut."""
    if not isinstance(content, str) or not content.startswith(_TAG):
        return None
    try:
        sealed = json.loads(base64.b64decode(content[len(_TAG) :], validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return sealed if isinstance(sealed, dict) else None

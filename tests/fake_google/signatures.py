"""Thought signatures: which the fake has handed out, and whether a request returns them as it must.

Rules: https://ai.google.dev/gemini-api/docs/thought-signatures. From family 3 on, the first functionCall of every model
content of the current turn (after the last user content that is not a functionResponse) needs its signature; text
signatures are recommended only; a signature returns on the part it came with. Image models sign images too. Some users
were refused unsigned ones (langchain-ai/langchain-google#1431), others not (vercel/ai#17748): here they pass.
"""

import base64
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.fake_google.families import Family
from tests.fake_google.refusal import JsonObject, Refusal

NOT_VALID = "Thought signature is not valid."
CORRUPTED = "Corrupted thought signature."
INVALID = "Invalid `signature`"
# Documented in the FAQ of the page above; base64 of the words is taken as well as the words themselves.
DUMMIES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")


def _decoded(signature: str) -> bytes:
    plain = signature.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


_DUMMY_BYTES = {_decoded(word) for word in DUMMIES} | {word.encode() for word in DUMMIES}


def is_dummy(signature: str) -> bool:
    """Whether this is one of the documented dummies, raw or as base64."""
    return _decoded(signature) in _DUMMY_BYTES


@dataclass(frozen=True, slots=True)
class Issued:
    """A signature the fake handed out, and the part it came with.

    :param call: (name, args) of the functionCall, or None for a text part.
    :param project: the project of the API key that got it.
    """

    call: tuple[str, JsonObject] | None
    project: str


@dataclass
class SignatureLedger:
    """All signatures handed out, safe for many threads.

    :param bind_to_project: refuse a signature that another project got (reported in sub2api issue 393).
    :param strict_dummies: refuse a dummy on a part that needs no signature.
    :param refusal_words: how a bad signature is refused; Google words it in several ways.
    """

    bind_to_project: bool = False
    strict_dummies: bool = False
    refusal_words: str = NOT_VALID
    _issued: dict[bytes, Issued] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, project: str, call: tuple[str, JsonObject] | None = None) -> str:
        """A fresh base64 signature for one part."""
        with self._lock:
            # Its bytes give "+", "/" and "=" in base64, so that whoever mangles the alphabet or the padding is caught.
            raw = b"\x12\xfb\xef\xff" + f"{project}:{len(self._issued)}:".encode()
            raw += b"\xfb\xff" * 20
            while len(raw) % 3 != 1:
                raw += b"\x00"
            self._issued[raw] = Issued(call, project)
        return base64.b64encode(raw).decode()

    def find(self, signature: str) -> Issued | None:
        """What is known of a signature, or None for a stranger."""
        with self._lock:
            return self._issued.get(_decoded(signature))

    def forget(self) -> None:
        """Treat all signatures handed out so far as unknown."""
        with self._lock:
            self._issued.clear()


def check_signatures(
    contents: list[JsonObject], family: Family, ledger: SignatureLedger, project: str
) -> list[tuple[int, int]]:
    """Refuse missing, foreign and misplaced signatures.

    :returns: (content index, part index) of every dummy.
    """
    start = current_turn(contents)
    enforced = family.is_3_or_newer and not family.makes_images
    dummies: list[tuple[int, int]] = []
    for index, content in enumerate(contents):
        first_call = next((i for i, part in enumerate(content["parts"]) if "function_call" in part), None)
        for position, part in enumerate(content["parts"]):
            needed = enforced and index > start and position == first_call
            signature = part.get("thought_signature")
            if not signature:
                if needed:
                    raise _missing(part["function_call"]["name"], index + 1)
            elif is_dummy(signature):
                dummies.append((index, position))
                if ledger.strict_dummies and not needed:
                    raise Refusal(
                        ledger.refusal_words, why=f"a dummy at contents[{index}].parts[{position}], not needed"
                    )
            else:
                _check_issued(part, signature, ledger, project, f"contents[{index}].parts[{position}]")
    return dummies


def current_turn(contents: list[JsonObject]) -> int:
    """The index of the last user content that holds anything but functionResponse parts; -1 if there is none."""
    for index in range(len(contents) - 1, -1, -1):
        content = contents[index]
        if content.get("role", "user") == "user" and any("function_response" not in part for part in content["parts"]):
            return index
    return -1


def _check_issued(part: dict[str, Any], signature: str, ledger: SignatureLedger, project: str, path: str) -> None:
    issued = ledger.find(signature)
    if issued is None:
        raise Refusal(ledger.refusal_words, why=f"unknown signature at {path}")
    if ledger.bind_to_project and issued.project != project:
        raise Refusal(ledger.refusal_words, why=f"{path}: issued to project {issued.project}, sent by {project}")
    call = part.get("function_call")
    came_with = (call["name"], call.get("args", {})) if call else None
    if issued.call != came_with:
        raise Refusal(ledger.refusal_words, why=f"{path}: issued with {issued.call}, returned on {came_with}")
    if call is None and "text" not in part and "inline_data" not in part:
        raise Refusal(ledger.refusal_words, why=f"{path}: the signature of a text or an image on a part without")


def _missing(name: str, position: int) -> Refusal:
    return Refusal(
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
        "correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
        f"call `default_api:{name}` , position {position}. Please refer to "
        "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
    )

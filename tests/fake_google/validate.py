"""Whether the real Gemini API would take a generateContent request.

``validate`` is a pure function but for the ledger of signatures: bytes in, ``Checked`` or ``Refusal`` out. The checks
run in Google's order: JSON, the protobuf message, contents, turns, signatures, tools, generation config.

On purpose stricter than Google, because no gateway that writes its own requests needs more: a lone value where a list
belongs, JSON Schema keywords that Google ignores and its types in upper case, ``properties`` that are empty, functions
without a description, other parts beside functionResponses, results without the id of their call, the role ``function``
on models before 3.6. ``Rules.native`` takes them as Google does: for bodies that a gateway hands on as they came.

Stricter in any case: a key that stands twice, a signature on a call with other arguments, several contents of which one
has no role, a final model turn on ``gemini-pro-latest`` (which still took one when last measured). The words are ours
where no source shows Google's: mismatched names and doubled ids of results, media in results on 2.5, the keywords and
references of JSON Schema, ``allowedFunctionNames``, doubled safety categories.
"""

from dataclasses import dataclass, field

from tests.fake_google.contents import check_contents, check_system_instruction
from tests.fake_google.families import family_of
from tests.fake_google.generation import check_generation
from tests.fake_google.protojson import parse
from tests.fake_google.refusal import JsonObject, Refusal
from tests.fake_google.signatures import SignatureLedger, check_signatures
from tests.fake_google.tools import check_tools
from tests.fake_google.turns import check_turns


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that passed.

    :param request: the body with snake_case names.
    :param dummies: (content index, part index) of every dummy signature.
    """

    request: JsonObject
    dummies: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a request is held against, besides the model.

    :param ledger: the signatures that count as real.
    :param project: whose key sends the request.
    :param native: no stricter than Google, for bodies that native clients wrote.
    :param refuse_sampling: refuse temperature, topP and topK from Gemini 4 on, as Google has announced.
    """

    ledger: SignatureLedger = field(default_factory=SignatureLedger)
    project: str = ""
    native: bool = False
    refuse_sampling: bool = False


def validate(model: str, body: bytes, rules: Rules | None = None) -> Checked:
    """Check one request.

    :param model: the name in the path, without ``models/``.
    :raises Refusal: what Google would answer.
    """
    rules = rules or Rules()
    return check_request(model, parse(body, native=rules.native), rules)


def check_request(model: str, request: JsonObject, rules: Rules) -> Checked:
    """``validate`` for a request that is parsed already."""
    family = family_of(model)
    _check_model_field(model, request)
    contents = request.get("contents", [])
    check_contents(contents, family, native=rules.native)
    if "system_instruction" in request:
        check_system_instruction(request["system_instruction"], family)
    check_turns(contents, family, native=rules.native)
    dummies = check_signatures(contents, family, rules.ledger, rules.project)
    check_tools(request, family, native=rules.native)
    check_generation(request, family, native=rules.native, refuse_sampling=rules.refuse_sampling)
    return Checked(request, tuple(dummies))


def check_count(model: str, request: JsonObject, rules: Rules) -> JsonObject:
    """Check a countTokens request, which holds contents alone or a whole ``generateContentRequest``, never both.

    Nothing is generated, so the rules of turns and signatures are not asked.

    :returns: what is counted, in the form of a generateContent request.
    """
    inner = request.get("generate_content_request")
    if inner is None:
        inner = {"contents": request.get("contents", [])}
    elif "contents" in request:
        raise Refusal("Only one of contents and generate_content_request can be set.")
    elif "model" not in inner:
        raise Refusal("* CountTokensRequest.generate_content_request.model: model is not specified\n")
    _check_model_field(model, inner)
    family = family_of(model)
    check_contents(inner.get("contents", []), family, native=rules.native)
    if "system_instruction" in inner:
        check_system_instruction(inner["system_instruction"], family)
    check_tools(inner, family, native=rules.native)
    check_generation(inner, family, native=rules.native)
    return dict(inner)


def _check_model_field(model: str, request: JsonObject) -> None:
    named = request.get("model", f"models/{model}")
    if named != f"models/{model}":
        raise Refusal(
            f"Invalid value at 'model': unexpected model name format or mismatch: {named}",
            why=f"the path names models/{model}",
        )

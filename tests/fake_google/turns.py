"""The order of calls and results, and who may speak last.

Sources: ai.google.dev/gemini-api/docs/function-calling; the words as seen in docker/docker-agent issue 2683 and
microsoft/vscode issue 299295; the issues and pull requests named beside each rule.
"""

from collections import Counter

from tests.fake_google.families import Family
from tests.fake_google.refusal import JsonObject, Refusal

MODEL_LAST = "Requests ending with a model turn are not supported."
CALL_TURN_PLACE = (
    "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
)
RESPONSE_TURN_PLACE = "Please ensure that function response turn comes immediately after a function call turn."
RESPONSE_COUNT = (
    "Please ensure that the number of function response parts is equal to the number of function call parts "
    "of the function call turn."
)


def check_turns(contents: list[JsonObject], family: Family, *, native: bool = False) -> None:
    """Refuse calls and results out of place, and a last content that the model does not take."""
    previous: JsonObject | None = None
    for index, content in enumerate(contents):
        role = _role(content)
        calls = _of_kind(content, "function_call")
        responses = _of_kind(content, "function_response")
        if calls and (role != "model" or previous is None or _role(previous) != "user"):
            raise Refusal(CALL_TURN_PLACE, why=f"contents[{index}], role {role}")
        if responses and role != "user":
            raise Refusal(RESPONSE_TURN_PLACE, why=f"contents[{index}]: functionResponse in role {role}")
        open_calls = _of_kind(previous, "function_call") if previous else []
        if responses and not open_calls:
            raise Refusal(RESPONSE_TURN_PLACE, why=f"contents[{index}]: no call turn before")
        if not family.is_3_or_newer and any(answer.get("parts") for answer in responses):
            # The guide on function calling: multimodal function responses are for Gemini 3 and newer.
            raise Refusal("Multimodal function responses are not supported for this model.", why=f"contents[{index}]")
        if open_calls:
            _check_answers(open_calls, responses, index, native)
        if responses and (_has_text_last(content, family) if native else len(responses) < len(content["parts"])):
            raise Refusal(MODEL_LAST, why=f"contents[{index}] mixes functionResponse with other parts")
        previous = content
    last = contents[-1]
    if _of_kind(last, "function_call"):
        raise Refusal(RESPONSE_COUNT, why="the last content has unanswered calls")
    if last.get("role") == "model" and not family.takes_model_turn_last:
        raise Refusal(MODEL_LAST)


def _role(content: JsonObject) -> str:
    """Results may come in the old role ``function``, if the check of roles let it pass."""
    role = str(content.get("role", "user"))
    return "user" if role == "function" else role


def _has_text_last(content: JsonObject, family: Family) -> bool:
    """Whether text follows the results, which counts as a model turn (dive pull 287, agentgateway issue 2811).

    Google takes text before them, and media beside them (googleapis/python-genai issue 2792).
    """
    kinds = ["function_response" in part for part in content["parts"]]
    after = content["parts"][len(kinds) - kinds[::-1].index(True) :]
    return any("text" in part for part in after) and not family.takes_model_turn_last


def _of_kind(content: JsonObject, kind: str) -> list[JsonObject]:
    return [part[kind] for part in content["parts"] if kind in part]


def _check_answers(calls: list[JsonObject], responses: list[JsonObject], index: int, native: bool) -> None:
    if len(calls) != len(responses):
        raise Refusal(RESPONSE_COUNT, why=f"contents[{index}]: {len(responses)} results for {len(calls)} calls")
    if Counter(call["name"] for call in calls) != Counter(answer["name"] for answer in responses):
        raise Refusal(
            "Please ensure that the function response names match the function call names of the function call turn.",
            why=f"contents[{index}]: {[a['name'] for a in responses]} for {[c['name'] for c in calls]}",
        )
    call_ids = [(call["name"], call.get("id") or None) for call in calls]
    given = [identity for _, identity in call_ids if identity]
    if len(set(given)) != len(given):
        raise Refusal("Duplicate function call id in the function call turn.", why=f"contents[{index - 1}]: {given}")
    answer_ids = [(answer["name"], answer.get("id") or None) for answer in responses]
    if native and not all(identity for _, identity in (*call_ids, *answer_ids)):
        # Google's own examples return results without ids: https://ai.google.dev/gemini-api/docs/function-calling.
        return
    if Counter(call_ids) != Counter(answer_ids):
        raise Refusal(
            "functionResponse.id does not match functionCall.id", why=f"contents[{index}]: {answer_ids} for {call_ids}"
        )

"""Made-up log probabilities of an answer's text, in Gemini's form.

Wire: LogprobsResult of generative_service.proto: ``chosenCandidates``, and ``topCandidates`` with as many as were asked
for, the likeliest first; "the chosen candidate might not be in top_candidates" (google-genai, types.LogprobsResult).
Whether a stream tells them chunk by chunk is a guess.
"""

import re

from tests.fake_google.refusal import JsonObject

_TOKEN = re.compile(r"\s*\S+|\s+")


def add_logprobs(response: JsonObject, config: JsonObject) -> None:
    """Put them into the candidates of a response, or of one event, if the request's config asks for them."""
    if not config.get("response_logprobs"):
        return
    for candidate in response.get("candidates", ()):
        parts = candidate.get("content", {}).get("parts", ())
        words = "".join(part.get("text", "") for part in parts if not part.get("thought"))
        chosen = [_scored(token, -0.25 * (place % 4 + 1)) for place, token in enumerate(_TOKEN.findall(words))]
        if not chosen:
            continue
        result: JsonObject = {"chosenCandidates": chosen}
        if top := int(config.get("logprobs", 0)):
            result["topCandidates"] = [{"candidates": _alternatives(each, top)} for each in chosen]
        result["logProbabilitySum"] = sum(each["logProbability"] for each in chosen)
        candidate["avgLogprobs"] = result["logProbabilitySum"] / len(chosen)
        candidate["logprobsResult"] = result


def _alternatives(chosen: JsonObject, count: int) -> list[JsonObject]:
    """The chosen token and others that are ever less likely."""
    return [
        chosen,
        *(_scored(f"{chosen['token']}~{place}", chosen["logProbability"] - place) for place in range(1, count)),
    ]


def _scored(token: str, probability: float) -> JsonObject:
    return {"token": token, "tokenId": sum(token.encode()), "logProbability": probability}

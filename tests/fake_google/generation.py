"""The rules of ``generationConfig``, ``safetySettings`` and ``cachedContent``.

Sources: generative_service.proto (GenerationConfig, ThinkingConfig, ImageConfig);
ai.google.dev/gemini-api/docs/thinking; the words as people got them from the live API: RooCodeInc/Roo-Code issue 10700
("Thinking level is not supported for this model."), fishjar/kiss-translator pull 1051 ("'minimal' is not a supported
thinking level for this model. Allowed values are: medium, low, high."), vercel/ai issue 8027 (budget 0),
google-gemini/cookbook issue 1290 (penalties; zero is accepted), langchain-ai/langchain-google issue 1266 (logprobs),
googleapis/js-genai issue 1609 (several candidates), googleapis/python-genai issue 867 and gemini-balance issue 264
(JSON mode beside tools), OmniRoute issue 8231 (categories of safety), LibreChat issue 5666 (CIVIC_INTEGRITY and OFF).
``topK: 0`` is accepted by the live API.

That temperature, topP and topK will be refused is announced, not yet seen
(ai.google.dev/gemini-api/docs/latest-model#sampling-parameter-deprecation), so it is a switch of ``Rules``, for Gemini
4 and newer; the words are ours.
"""

from tests.fake_google.families import Family
from tests.fake_google.json_schema import check_json_schema
from tests.fake_google.proto_schema import check_schema
from tests.fake_google.refusal import FieldErrors, JsonObject, Refusal
from tests.fake_google.tools import BUILT_IN

_PATH = "generation_config"
_MIME_TYPES = ("text/plain", "application/json", "application/xml", "application/yaml", "text/x.enum")
_ASPECT_RATIOS = ("1:1", "1:4", "1:8", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "21:9")
_IMAGE_SIZES = ("1K", "2K", "4K", "512", "512P", "512PX")
_SAFETY = ("HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "HARASSMENT", "CIVIC_INTEGRITY", "JAILBREAK")
_SAMPLING = ("temperature", "top_p", "top_k")
# field: (lowest, highest, highest itself excluded, words)
_RANGES: dict[str, tuple[float, float, bool, str]] = {
    "temperature": (0, 2, False, "temperature must be in the range [0.0, 2.0]."),
    "top_p": (0, 1, False, "top_p must be in the range [0.0, 1.0]."),
    "top_k": (0, float("inf"), False, "top_k must be non-negative."),
    "max_output_tokens": (1, float("inf"), False, "max_output_tokens must be positive."),
    "candidate_count": (1, 8, False, "candidate_count must be in the range [1, 8]."),
    "presence_penalty": (-2, 2, True, "presence_penalty must be in the range [-2.0, 2.0)."),
    "frequency_penalty": (-2, 2, True, "frequency_penalty must be in the range [-2.0, 2.0)."),
    "logprobs": (0, 20, False, "logprobs must be in the range [0, 20]."),
}
# Gemini 2.5, by the name's beginning: (lowest budget above 0, highest, whether 0 turns thinking off)
_BUDGETS = (
    ("gemini-2.5-flash-lite", 512, 24576, True),
    ("gemini-2.5-flash", 1, 24576, True),
    ("gemini-2.5-pro", 128, 32768, False),
)


def check_generation(
    request: JsonObject, family: Family, *, native: bool = False, refuse_sampling: bool = False
) -> None:
    """Refuse what Google would refuse in the settings of a request."""
    _check_safety(request.get("safety_settings", []))
    _check_cached(request)
    config = request.get("generation_config", {})
    _check_numbers(config)
    _check_abilities(config, family, refuse_sampling)
    _check_output(request, config, family, native)
    if "thinking_config" in config:
        _check_thinking(config["thinking_config"], family)
    _check_modalities(config, family)


def _check_cached(request: JsonObject) -> None:
    """No cache exists here; what may not stand beside one is told first (langchain-ai/langchain-google issue 978)."""
    if not request.get("cached_content"):
        return
    if any(name in request for name in ("system_instruction", "tools", "tool_config")):
        raise Refusal(
            "CachedContent can not be used with GenerateContent request setting system_instruction, tools or "
            "tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request."
        )
    raise Refusal("CachedContent not found (or permission denied)", http_status=403)


def _check_safety(settings: list[JsonObject]) -> None:
    errors = FieldErrors()
    seen: set[str] = set()
    for index, setting in enumerate(settings):
        category = setting.get("category", "")
        if category.removeprefix("HARM_CATEGORY_") not in _SAFETY:
            words = ", ".join(f"HARM_CATEGORY_{name}" for name in _SAFETY)
            errors.add(f"safety_settings[{index}]", f"element predicate failed: $.category in ({words})")
        elif category in seen:
            errors.add(f"safety_settings[{index}]", f"there should not be more than one setting for {category}")
        if setting.get("threshold", "HARM_BLOCK_THRESHOLD_UNSPECIFIED") == "HARM_BLOCK_THRESHOLD_UNSPECIFIED":
            errors.add(f"safety_settings[{index}].threshold", "must be specified")
        elif (category, setting["threshold"]) == ("HARM_CATEGORY_CIVIC_INTEGRITY", "OFF"):
            errors.add(f"safety_settings[{index}]", f"{category} threshold cannot be 5")
        seen.add(category)
    errors.refuse_if_any()


def _check_numbers(config: JsonObject) -> None:
    errors = FieldErrors()
    for name, (low, high, open_end, words) in _RANGES.items():
        value = float(config.get(name, max(low, 0)))
        if not low <= value <= high or (open_end and value == high):
            errors.add(f"{_PATH}.{name}", words)
    stops = config.get("stop_sequences", [])
    if len(stops) > 5:
        errors.add(f"{_PATH}.stop_sequences", "the number of stop_sequences must not exceed 5")
    for index, stop in enumerate(stops):
        if not stop:
            errors.add(f"{_PATH}.stop_sequences[{index}]", "must not be empty.")
    if "logprobs" in config and not config.get("response_logprobs"):
        errors.add(f"{_PATH}.logprobs", "logprobs is only valid if response_logprobs is true.")
    errors.refuse_if_any()


def _check_abilities(config: JsonObject, family: Family, refuse_sampling: bool) -> None:
    if config.get("presence_penalty") or config.get("frequency_penalty"):
        raise Refusal("Penalty is not enabled for this model", why=family.model)
    if config.get("response_logprobs") and not family.tells_logprobs:
        raise Refusal(f"Logprobs is not enabled for models/{family.model}")
    if int(config.get("candidate_count", 1)) > family.max_candidates:
        raise Refusal("Multiple candidates is not enabled for this model", why=family.model)
    if refuse_sampling and family.version >= (4, 0) and (given := [name for name in _SAMPLING if name in config]):
        raise Refusal(f"{given[0]} is deprecated and not supported for this model.", why=family.model)


def _check_output(request: JsonObject, config: JsonObject, family: Family, native: bool) -> None:
    errors = FieldErrors()
    mime_type = config.get("response_mime_type", "") or "text/plain"
    if mime_type not in _MIME_TYPES:
        words = ", ".join(f"`{name}`" for name in _MIME_TYPES[:-1])
        errors.add(f"{_PATH}.response_mime_type", f"allowed mimetypes are {words} and `{_MIME_TYPES[-1]}`.")
    if "response_schema" in config and "response_json_schema" in config:
        errors.add(_PATH, "only one of response_schema and response_json_schema can be set.")
    for name in ("response_schema", "response_json_schema"):
        if name in config and mime_type not in ("application/json", "text/x.enum"):
            errors.add(f"{_PATH}.{name}", f"response_mime_type must be application/json when {name} is set.")
    if "response_schema" in config:
        check_schema(config["response_schema"], f"{_PATH}.response_schema", errors, native=native)
    if "response_json_schema" in config:
        check_json_schema(config["response_json_schema"], f"{_PATH}.response_json_schema", errors, native=native)
    errors.refuse_if_any()
    if mime_type != "application/json":
        return
    if not family.has_json_mode:
        raise Refusal(f"JSON mode is not enabled for models/{family.model}")
    if family.is_3_or_newer:
        return
    # From family 3 on both go together: ai.google.dev/gemini-api/docs/structured-output#structured-outputs-with-tools.
    if any(tool.get("function_declarations") for tool in request.get("tools", ())):
        raise Refusal("Function calling with a response mime type: 'application/json' is unsupported")
    if any(name in tool for tool in request.get("tools", ()) for name in BUILT_IN):
        raise Refusal("Tool use with a response mime type: 'application/json' is unsupported")


def _check_thinking(config: JsonObject, family: Family) -> None:
    budget, level = config.get("thinking_budget"), config.get("thinking_level")
    if level == "THINKING_LEVEL_UNSPECIFIED":
        level = None
    if not family.thinks:
        raise Refusal("Unable to submit request because thinking is not supported by this model.", why=family.model)
    if budget is not None and level is not None:
        raise Refusal("You can only set only one of thinking budget and thinking level.")
    if level is not None:
        _check_level(level.lower(), family)
    if budget is not None:
        _check_budget(int(budget), config, family)


def _check_level(level: str, family: Family) -> None:
    if not family.is_3_or_newer:
        raise Refusal("Thinking level is not supported for this model.", why=family.model)
    allowed = family.thinking_levels
    if level not in allowed:
        raise Refusal(
            f"'{level}' is not a supported thinking level for this model. Allowed values are: {', '.join(allowed)}.",
            why=family.model,
        )


def _check_budget(budget: int, config: JsonObject, family: Family) -> None:
    # Family 3 takes a budget, if alone, but cannot stop thinking.
    known = [rest for name, *rest in _BUDGETS if family.model.startswith(name)]
    low, high, can_stop = known[0] if known else (1, 32768, not family.is_3_or_newer)
    if budget == 0 and not can_stop:
        raise Refusal("Budget 0 is invalid. This model only works in thinking mode.", why=family.model)
    if budget not in (0, -1) and not low <= budget <= high:
        raise Refusal(
            f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}.",
            why=family.model,
        )
    if budget == 0 and config.get("include_thoughts"):
        raise Refusal("Thinking_config.include_thoughts is only enabled when thinking is enabled.")


def _check_modalities(config: JsonObject, family: Family) -> None:
    wanted = [word for word in config.get("response_modalities", ()) if word != "TEXT"]
    possible = (["IMAGE"] if family.makes_images else []) + (["AUDIO"] if family.speaks else [])
    if any(word not in possible for word in wanted) or len(set(wanted)) != len(wanted):
        words = ",".join(word.lower() for word in config["response_modalities"])
        raise Refusal(f"Model does not support the requested response modalities: {words}", why=family.model)
    if "speech_config" in config and "AUDIO" not in wanted:
        raise Refusal("Speech config is only supported with the response modality AUDIO.", why=family.model)
    if "image_config" in config:
        _check_image(config["image_config"], family)


def _check_image(config: JsonObject, family: Family) -> None:
    if not family.makes_images:
        raise Refusal("Image generation config is not supported for this model.", why=family.model)
    ratio, size = config.get("aspect_ratio"), config.get("image_size")
    if ratio is not None and ratio not in _ASPECT_RATIOS:
        errors = FieldErrors()
        words = ", ".join(f"'{name}'" for name in _ASPECT_RATIOS[:-1])
        errors.add(
            f"{_PATH}.image_config.aspect_ratio", f"aspect_ratio must be one of {words}, or '{_ASPECT_RATIOS[-1]}'."
        )
        errors.refuse_if_any()
    if size is not None and size not in _IMAGE_SIZES:
        raise Refusal(f"Unsupported image_size '{size}'. Supported values are: {', '.join(_IMAGE_SIZES)}.")

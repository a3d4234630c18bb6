"""What ``GET /v1beta/models`` tells of each model, and which methods a model has.

Wire: https://ai.google.dev/api/models (Model); numbers and words are those of two answers of the live service:
yuv-man/habeat-server ``models.json``, and one of June 2026 for what is newer. Newer models than that are described
after their predecessors. Protobuf leaves out what is false, so ``thinking`` is only ever true.
"""

from dataclasses import dataclass

from tests.fake_google.families import family_of
from tests.fake_google.refusal import JsonObject

# The methods that go by the name of another one in supportedGenerationMethods.
_LISTED_AS = {"streamGenerateContent": "generateContent", "batchEmbedContents": "embedContent"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What models of one kind have in common.

    :param max_temperature: None for models that are not sampled from, which tell no temperature, topP and topK either.
    """

    input_limit: int
    output_limit: int
    methods: tuple[str, ...]
    max_temperature: int | None = 2


_TALKS = ("generateContent", "countTokens")
_EMBEDS = ("embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent")
_CHAT = _Kind(1048576, 65536, (*_TALKS, "createCachedContent", "batchGenerateContent"))
# By the beginning of the name; the first that fits counts.
_KINDS = (
    ("gemini-embedding-0", _Kind(2048, 1, _EMBEDS, None)),
    ("gemini-embedding-", _Kind(8192, 1, _EMBEDS, None)),
    ("gemini-2.5-flash-image", _Kind(32768, 32768, (*_TALKS, "batchGenerateContent"), 1)),
    ("gemini-3-pro-image", _Kind(131072, 32768, (*_TALKS, "batchGenerateContent"), 1)),
    ("gemini-3.1-flash-image", _Kind(65536, 65536, (*_TALKS, "batchGenerateContent"), 1)),
    ("gemma-3-", _Kind(131072, 8192, _TALKS)),
    ("", _CHAT),
)
# (version, displayName, description), where they are not simply made from the name.
_WORDS = {
    "gemini-2.5-flash": (
        "001",
        "Gemini 2.5 Flash",
        "Stable version of Gemini 2.5 Flash, our mid-size multimodal model that supports up to 1 million tokens, "
        "released in June of 2025.",
    ),
    "gemini-2.5-pro": ("2.5", "Gemini 2.5 Pro", "Stable release (June 17th, 2025) of Gemini 2.5 Pro"),
    "gemini-2.5-flash-lite": (
        "001",
        "Gemini 2.5 Flash-Lite",
        "Stable version of Gemini 2.5 Flash-Lite, released in July of 2025",
    ),
    "gemini-2.5-flash-image": ("2.0", "Nano Banana", "Gemini 2.5 Flash Preview Image"),
    "gemini-3-flash-preview": ("3-flash-preview-12-2025", "Gemini 3 Flash Preview", "Gemini 3 Flash Preview"),
    "gemini-3-pro-image": ("3.0", "Nano Banana Pro", "Gemini 3 Pro Image"),
    "gemini-3.1-pro-preview": ("3.1-pro-preview-01-2026", "Gemini 3.1 Pro Preview", "Gemini 3.1 Pro Preview"),
    "gemini-3.1-flash-lite": ("3.1-flash-lite-05-2026", "Gemini 3.1 Flash Lite", "Gemini 3.1 Flash Lite"),
    "gemini-3.1-flash-image": ("3.0", "Nano Banana 2", "Gemini 3.1 Flash Image."),
    "gemini-3.5-flash": ("3.5-flash-05-2026", "Gemini 3.5 Flash", "Gemini 3.5 Flash"),
    "gemini-flash-latest": ("Gemini Flash Latest", "Gemini Flash Latest", "Latest release of Gemini Flash"),
    "gemini-flash-lite-latest": (
        "Gemini Flash-Lite Latest",
        "Gemini Flash-Lite Latest",
        "Latest release of Gemini Flash-Lite",
    ),
    "gemini-pro-latest": ("Gemini Pro Latest", "Gemini Pro Latest", "Latest release of Gemini Pro"),
    "gemini-embedding-001": (
        "001",
        "Gemini Embedding 001",
        "Obtain a distributed representation of a text.",
    ),
    "gemini-embedding-2-preview": (
        "2",
        "Gemini Embedding 2 Preview",
        "Obtain a distributed representation of multimodal content.",
    ),
    "gemini-embedding-2": (
        "2",
        "Gemini Embedding 2",
        "Obtain a distributed representation of multimodal content.",
    ),
}


def describe(model: str) -> JsonObject:
    """The Model of that name, as the service lists it."""
    kind = _kind(model)
    title = model.replace("-", " ").title()
    version, display_name, description = _WORDS.get(model, ("001", title, title))
    described: JsonObject = {
        "name": f"models/{model}",
        "version": version,
        "displayName": display_name,
        "description": description,
        "inputTokenLimit": kind.input_limit,
        "outputTokenLimit": kind.output_limit,
        "supportedGenerationMethods": list(kind.methods),
    }
    if kind.max_temperature is not None:
        described |= {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": kind.max_temperature}
    if family_of(model).thinks:
        described["thinking"] = True
    return described


def supports(model: str, method: str) -> bool:
    """Whether a model has a method: chat models do not embed, embedding models do nothing but embed and count."""
    return _LISTED_AS.get(method, method) in _kind(model).methods


def _kind(model: str) -> _Kind:
    return next(kind for beginning, kind in _KINDS if model.startswith(beginning))

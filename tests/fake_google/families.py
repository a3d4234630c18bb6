"""What the rules need to know of a model: its family, by name."""

import re
from dataclasses import dataclass

_FAMILY = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?:-|$)")
KNOWN_MODELS = (
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash-lite",
    "gemini-2.5-flash-image",
    "gemini-3-flash-preview",
    "gemini-3-pro-image",
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-lite",
    "gemini-3.1-flash-image",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.6-flash",
    "gemini-3.7-flash",
    "gemini-3.8-flash",
    "gemini-4-argon",
    "gemini-4-carbon",
    "gemini-4-hydrogen",
    "gemini-flash-latest",
    "gemini-flash-lite-latest",
    "gemini-pro-latest",
    "gemma-3-27b-it",
)
EMBEDDING_MODELS = ("gemini-embedding-001", "gemini-embedding-2-preview", "gemini-embedding-2")


@dataclass(frozen=True, slots=True)
class Family:
    """A model by what it can do.

    :param version: (major, minor); an alias is newer than all numbers, Gemma older.
    """

    model: str
    version: tuple[int, int]

    @property
    def is_gemma(self) -> bool:
        """Gemma on the Gemini API: text and images in, text out, and nothing beside them."""
        return self.model.startswith("gemma-")

    @property
    def is_3_or_newer(self) -> bool:
        """Thinking levels, strict thought signatures, call ids."""
        return self.version >= (3, 0)

    @property
    def makes_images(self) -> bool:
        """Image models do not enforce signatures (ai.google.dev/gemini-api/docs/thought-signatures)."""
        return "-image" in self.model

    @property
    def speaks(self) -> bool:
        """Text to speech models."""
        return "-tts" in self.model

    @property
    def embeds(self) -> bool:
        """Embedding models, which do nothing else."""
        return "-embedding" in self.model

    @property
    def embeds_media(self) -> bool:
        """From Gemini Embedding 2 on; before, only text counts (https://ai.google.dev/api/embeddings)."""
        return self.embeds and "-embedding-0" not in self.model

    @property
    def takes_role_function(self) -> bool:
        """The old role of results: 3.6 and newer, and the aliases, refuse it (blakeblackshear/frigate pull 24013)."""
        return self.version < (3, 6)

    @property
    def thinks(self) -> bool:
        """Gemini 2.5 and newer, but for the 2.5 models of images and speech, and those of embeddings."""
        return (
            not self.embeds
            and self.version >= (2, 5)
            and not self.speaks
            and not (self.makes_images and not self.is_3_or_newer)
        )

    @property
    def thinking_levels(self) -> tuple[str, ...]:
        """What ``thinkingLevel`` may be (ai.google.dev/gemini-api/docs/thinking, the table of levels).

        Flash-Lite has all four, as had Flash up to 3.6; newer ones and Pro have no ``minimal``, 3 Pro no ``medium``.
        Image models: maximhq/bifrost pull 6280. Hydrogen alone has ``xhigh``:
        docs.cloud.google.com/gemini-enterprise-agent-platform/models/guides/gemini-4-hydrogen.
        """
        if not self.is_3_or_newer:
            return ()
        if self.makes_images:
            return ("low", "high") if "-pro" in self.model else ("minimal", "high")
        if self.model.startswith("gemini-4-hydrogen"):
            return ("low", "medium", "high", "xhigh")
        if "-pro" in self.model:
            return ("low", "high") if self.version == (3, 0) else ("low", "medium", "high")
        if "-flash-lite" in self.model or ("-flash" in self.model and self.version <= (3, 6)):
            return ("minimal", "low", "medium", "high")
        return ("low", "medium", "high")

    @property
    def max_candidates(self) -> int:
        """How many answers one request gets (googleapis/js-genai issue 1609: all of 3.x give one)."""
        return 1 if self.is_3_or_newer or self.makes_images else 8

    @property
    def tells_logprobs(self) -> bool:
        """On the Developer API 2.5 does not (langchain-ai/langchain-google issue 1266)."""
        return self.is_3_or_newer and not self.makes_images and not self.speaks

    @property
    def has_json_mode(self) -> bool:
        """Not models of images and speech (``supports_response_schema`` in BerriAI/litellm), nor Gemma."""
        return not (self.makes_images or self.speaks or self.is_gemma)

    @property
    def takes_model_turn_last(self) -> bool:
        """Prefill: gone with 3.5 Flash-Lite, 3.6 and newer, and the aliases (LibreChat-AI/agents pull 323)."""
        return self.version < (3, 6) and not self.model.startswith("gemini-3.5-flash-lite")


def family_of(model: str) -> Family:
    """The family of a model name; what holds no number counts as newest, as the ``-latest`` aliases do."""
    match = _FAMILY.match(model)
    if match is None:
        return Family(model, (0, 0) if model.startswith("gemma-") else (99, 0))
    return Family(model, (int(match[1]), int(match[2] or 0)))

"""Request fields of the Gemini API that are newer than the published protobuf package, each with its source.

Kept small on purpose: what stands neither in the package nor here is refused as Google refuses an unknown name.
All are in https://github.com/googleapis/python-genai, ``google/genai/types.py``; only those that ``models.py`` passes
on for the Gemini Developer API (its ``*_to_mldev`` functions) are here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Shape:
    """What a newer field may hold.

    :param kind: ``string bool int32 enum struct message``.
    :param values: the words of an enum, in upper case.
    :param fields: the fields of a message.
    :param oneof: the oneof of the message it belongs to, of which only one field may be set.
    """

    kind: str
    values: tuple[str, ...] = ()
    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    repeated: bool = False
    type_name: str = ""
    oneof: str = ""


_STRING = Shape("string")
_TOOL_TYPE = Shape(
    "enum",
    ("GOOGLE_SEARCH_WEB", "GOOGLE_SEARCH_IMAGE", "URL_CONTEXT", "GOOGLE_MAPS", "FILE_SEARCH"),  # types.ToolType
    type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.ToolType",
)

_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
# types.FinishReason, without what only Vertex says
_FINISH_REASONS = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST"),
    *("PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"),
    *("IMAGE_OTHER", "NO_IMAGE", "IMAGE_RECITATION", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
    *("MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "ESCALATION", "CONTINUATION", "PUP_LIMITED_DISABLED"),
)
# types.HarmCategory, with the words of PaLM, which the message still knows
_HARM_CATEGORIES = (
    *("UNSPECIFIED", "DEROGATORY", "TOXICITY", "VIOLENCE", "SEXUAL", "MEDICAL", "DANGEROUS", "HARASSMENT"),
    *("HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY", "JAILBREAK"),
)

# https://ai.google.dev/api/embeddings (TaskType)
_TASK_TYPES = (
    *("TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION"),
    *("CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"),
)

# A field that stands here and in the package has more words than the package knows.
NEWER_FIELDS: dict[str, dict[str, Shape]] = {
    "ThinkingConfig": {
        # types.ThinkingConfig, types.ThinkingLevel (CaseInSensitiveEnum)
        "thinking_level": Shape(
            "enum",
            _LEVELS,
            type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel",
        ),
    },
    "ToolConfig": {
        "include_server_side_tool_invocations": Shape("bool"),  # types.ToolConfig
    },
    "Part": {
        # types.PartMediaResolution, types.PartMediaResolutionLevel
        "media_resolution": Shape(
            "message",
            fields={
                "level": Shape(
                    "enum",
                    (
                        "MEDIA_RESOLUTION_UNSPECIFIED",
                        "MEDIA_RESOLUTION_LOW",
                        "MEDIA_RESOLUTION_MEDIUM",
                        "MEDIA_RESOLUTION_HIGH",
                        "MEDIA_RESOLUTION_ULTRA_HIGH",
                    ),
                    type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.MediaResolution.Level",
                ),
                "num_tokens": Shape("int32"),
            },
        ),
        # types.ToolCall, types.ToolResponse: server-side tools, echoed by the client
        "tool_call": Shape(
            "message", fields={"id": _STRING, "tool_type": _TOOL_TYPE, "args": Shape("struct")}, oneof="data"
        ),
        "tool_response": Shape(
            "message", fields={"id": _STRING, "tool_type": _TOOL_TYPE, "response": Shape("struct")}, oneof="data"
        ),
    },
    "ImageConfig": {
        "image_size": _STRING,  # types.ImageConfig: 1K, 2K, 4K
    },
    "GenerateContentRequest": {
        # types.ServiceTier; models._GenerateContentConfig_to_mldev sets `serviceTier` beside `contents`
        "service_tier": Shape(
            "enum",
            ("UNSPECIFIED", "FLEX", "STANDARD", "PRIORITY"),
            type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.ServiceTier",
        ),
        # types.GenerateContentConfig: long answers of Gemini 4
        # (https://ai.google.dev/gemini-api/docs/generate-content/long-decode)
        "continuation_token": Shape("bytes"),
        "store": Shape("bool"),
    },
    "Candidate": {
        "finish_reason": Shape(
            "enum",
            _FINISH_REASONS,
            type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.Candidate.FinishReason",
        ),
        "continuation_token": Shape("bytes"),
    },
    "SafetySetting": {
        "category": Shape(
            "enum",
            tuple(f"HARM_CATEGORY_{word}" for word in _HARM_CATEGORIES),
            type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.HarmCategory",
        ),
    },
    "GenerateContentResponse.UsageMetadata": {
        "service_tier": _STRING,  # types.GenerateContentResponseUsageMetadata
    },
    "Tool.GoogleSearch": {
        # types.SearchTypes
        "search_types": Shape("message", fields={"web_search": Shape("message"), "image_search": Shape("message")}),
    },
    "EmbedContentRequest": {
        # https://ai.google.dev/api/embeddings (EmbedContentConfig); the fields beside it are the older place of three.
        # Only nested is autoTruncate known: beside `content`, or at the top of a batch, it is an unknown name.
        "embed_content_config": Shape(
            "message",
            fields={
                "task_type": Shape(
                    "enum",
                    _TASK_TYPES,
                    type_name="type.googleapis.com/google.ai.generativelanguage.v1beta.TaskType",
                ),
                "title": _STRING,
                "output_dimensionality": Shape("int32"),
                "auto_truncate": Shape("bool"),
                "document_ocr": Shape("bool"),
                "audio_track_extraction": Shape("bool"),
            },
        ),
    },
    # types.ExecutableCode, types.CodeExecutionResult: an answer's ids, echoed by the client
    "ExecutableCode": {"id": _STRING},
    "CodeExecutionResult": {"id": _STRING},
    # types.FunctionResponseBlob: what a "$ref" in the response may name
    "FunctionResponseBlob": {"display_name": _STRING},
    "Tool": {
        # types.McpServer, types.StreamableHttpTransport
        "mcp_servers": Shape(
            "message",
            fields={
                "name": _STRING,
                "streamable_http_transport": Shape(
                    "message",
                    fields={
                        "url": _STRING,
                        "headers": Shape("struct"),
                        "timeout": _STRING,
                        "sse_read_timeout": _STRING,
                        "terminate_on_close": Shape("bool"),
                    },
                ),
            },
            repeated=True,
        ),
    },
    "FileSearch": {
        # types.FileSearch
        "file_search_store_names": Shape("string", repeated=True),
        "top_k": Shape("int32"),
        "metadata_filter": _STRING,
    },
}

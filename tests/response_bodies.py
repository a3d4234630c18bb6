"""Responses bodies to change at random: two that say everything, and values to put anywhere in them."""

from typing import Any

from hypothesis import strategies as st

from agproxy.protocols.openai_responses_items import seal_summary
from agproxy.protocols.seals import seal
from tests.chat_bodies import JSON, PDF, PNG, paths
from tests.chat_bodies import WORDS as CHAT_WORDS

Json = Any

SCHEMA = {"type": "object", "properties": {"at": {"type": "array"}}}
SIGNED = {"google": {"thought_signature": "QUJD"}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: x"}


def full_body() -> Json:
    """One that holds every field that is served, and a conversation of all the items that clients of today send."""
    return {
        "model": "gpt-5.5",
        "instructions": "Be kind.",
        "input": [
            {"type": "message", "id": "msg_0", "role": "developer", "content": [{"type": "input_text", "text": "Go."}]},
            {"role": "system", "content": "Be brief."},
            {
                "type": "additional_tools",
                "id": "at_1",
                "role": "developer",
                "tools": [{"type": "custom", "name": "run"}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
                    {"type": "input_image", "image_url": "https://example.com/cat.png"},
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": f"data:application/pdf;base64,{PDF}",
                    },
                    {"type": "input_file", "file_url": "https://example.com/a.csv?b=c"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "content": [{"type": "reasoning_text", "text": "Hm, hm."}],
                "encrypted_content": seal({"call_1": SIGNED}),
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "look",
                "arguments": '{"at": [1, 2]}',
                "status": "completed",
            },
            {"type": "function_call", "call_id": "call_2", "name": "now", "namespace": "clock", "arguments": "{}"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_3", "name": "patch", "input": "*** Begin"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "a cat"},
            {
                "type": "function_call_output",
                "call_id": "call_2",
                "output": [
                    {"type": "input_text", "text": "noon"},
                    {"type": "input_image", "image_url": f"data:;base64,{PNG}"},
                ],
            },
            {"type": "custom_tool_call_output", "call_id": "call_3", "output": {"exit_code": 0}},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "phase": "final_answer",
                "content": [
                    {"type": "output_text", "text": "A cat.", "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": "No more."},
                ],
                "extra_content": SIGNED,
            },
            {"role": "user", "content": "And where?"},
        ],
        "tools": [
            {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": False},
            {"type": "custom", "name": "patch", "description": "Patches.", "format": GRAMMAR},
            {
                "type": "namespace",
                "name": "clock",
                "description": "Tells time.",
                "tools": [{"type": "function", "name": "now", "strict": True}, {"type": "custom", "name": "set"}],
            },
            {"type": "web_search", "external_web_access": True, "search_context_size": "low"},
            {"type": "mcp", "server_label": "s"},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "look"}, {"type": "namespace", "name": "clock"}],
        },
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto", "context": "all_turns"},
        "text": {
            "format": {"type": "json_schema", "name": "place", "strict": True, "schema": SCHEMA, "description": "d"},
            "verbosity": "low",
        },
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.action.sources"],
        "temperature": 0.5,
        "top_p": 1,
        "top_logprobs": 3,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "max_output_tokens": 20,
        "store": False,
        "metadata": {"a": "b"},
        "prompt_cache_key": "abc",
        "safety_identifier": "me",
        "previous_response_id": "resp_0",
        "extra_body": {
            "google": {"cached_content": "cachedContents/abc", "thinking_config": {"include_thoughts": True}}
        },
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "truncation": "auto",
    }


def hosted_body() -> Json:
    """The conversation of a client that had hosted tools elsewhere, or that sends messages of Chat Completions."""
    return {
        "model": "gpt-5.5",
        "input": [
            {"type": "compaction", "id": "cmp_1", "encrypted_content": seal_summary("They like cats.")},
            {"type": "shell_call", "id": "sh_1", "call_id": "a", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "a", "output": [{"stdout": "x", "outcome": {"type": "exit"}}]},
            {"type": "local_shell_call", "id": "lsh_1", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "lsh_1", "output": "x"},
            {"type": "apply_patch_call", "call_id": "b", "operation": {"type": "delete_file", "path": "a.py"}},
            {"type": "apply_patch_call_output", "call_id": "b", "status": "completed"},
            {"type": "computer_call", "id": "cu_1", "call_id": "c", "action": {"type": "click", "x": 1}},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"},
            },
            {"type": "tool_search_call", "id": "ts_1", "call_id": "d", "arguments": {"query": "q"}},
            {"type": "tool_search_output", "call_id": "d", "tools": [{"type": "function", "name": "found"}]},
            {"type": "mcp_call", "id": "mcp_1", "name": "read", "arguments": "{}", "output": "x", "error": None},
            {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": [{"type": "logs", "logs": "1"}]},
            {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "results": [{"text": "t"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "image_generation_call", "id": "ig_1", "result": PNG, "extra_content": SIGNED},
            {"type": "mcp_list_tools", "id": "ml_1", "tools": []},
            {
                "role": "assistant",
                "tool_calls": [{"id": "e", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "e", "content": "a cat"},
        ],
        "tool_choice": {"type": "function", "function": {"name": "found"}},
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"generate_summary": "concise"},
        "google": {"thinkingConfig": {"thinkingBudget": 1024}},
    }


PATHS = [path for path in paths(full_body()) if path]
KINDS = sorted({item["type"] for body in (full_body(), hosted_body()) for item in body["input"] if "type" in item})
WORDS = CHAT_WORDS | st.sampled_from(
    [
        *KINDS,
        *(
            "input",
            "instructions",
            "output",
            "call_id",
            "namespace",
            "summary",
            "content",
            "encrypted_content",
            "action",
        ),
        *(
            "input_text",
            "output_text",
            "input_image",
            "reasoning",
            "effort",
            "include",
            "metadata",
            "store",
            "previous",
        ),
        *("max_output_tokens", "verbosity", "strict", "grammar", "syntax", "definition", "result", "results", "status"),
        *("background", "conversation", "prompt", "mode", "agproxy1.", "agproxy1.e30=", "item_reference", "resp_1"),
    ]
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=5)

"""What agproxy calls: one module a kind of upstream, each with ``encode_request decode_stream decode_error``."""

from types import ModuleType

from agproxy.upstreams import demo, gemini

# By an account's ``type``.
UPSTREAMS: dict[str, ModuleType] = {"gemini": gemini, "demo": demo}

"""What agproxy calls: one module a kind of upstream, and a line in the table below.

Each has ``encode_request decode_stream``, to count tokens ``encode_count decode_count estimate``, and for errors
``decode_error is_about_signature is_of_the_model refused_setting schema_faults``. One that is called over HTTP has
``endpoint count_endpoint headers models_endpoint decode_models``, as ``gemini`` does; one that answers by itself has
``play play_count`` and ``MODELS``, as ``demo`` does.
"""

from types import ModuleType

from agproxy.upstreams import demo, gemini

# By an account's ``type``.
UPSTREAMS: dict[str, ModuleType] = {"gemini": gemini, "demo": demo}

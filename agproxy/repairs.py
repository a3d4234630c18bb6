"""What one request does without, because the model service has refused it: now, or of a request before.

A 400 that names such a thing is no failure: the request is mended and sent again, and what was learned is kept.
"""

import hashlib
from types import ModuleType

from agproxy.chat import ChatRequest, Tool
from agproxy.errors import UpstreamRefusal
from agproxy.jsonwire import encode_json
from agproxy.store import Store

_SCHEMA_TTL_S = 7 * 24 * 3600.0
_SETTING_TTL_S = 24 * 3600.0  # models are changed under their names
_MAX_REPAIRS = 6
# These depend on the model alone; whether it takes a level of thinking, a schema or JSON mode, on the request too.
_OF_THE_MODEL = frozenset({"penalties", "logprobs", "n", "sampling", "system", "web_search"})


class Repairs:
    """The repairs of one request.

    :ivar count: how often it was mended; what it does without stays the same between two counts.
    :ivar keep_signatures: False once the thought signatures in it were refused.
    :ivar dropped: schema keywords to leave out, by tool name.
    :ivar without: settings to leave out, by the upstream's names for them.
    """

    def __init__(self, chat: ChatRequest, *, model: str, store: Store) -> None:
        self.count = 0
        self.keep_signatures = True
        self.dropped = _dropped_keywords(chat, store)
        self.without = frozenset(store.get(f"refused:{model}") or ())
        self._chat = chat
        self._model = model
        self._store = store

    @property
    def ignored(self) -> tuple[str, ...]:
        """What was left out of the tools' schemas, as request fields."""
        return tuple(f"{name}.parameters.{word}" for name, words in self.dropped.items() for word in sorted(words))

    def can_mend(self, error: UpstreamRefusal, upstream: ModuleType, *, used: frozenset[str]) -> bool:
        """Whether a change of the request may keep this error from coming again.

        :param used: the settings that the refused request held.
        """
        if self.count >= _MAX_REPAIRS:
            return False
        if upstream.is_about_signature(error):
            return self.keep_signatures
        fault = upstream.schema_fault(error)
        if fault is not None and fault[0] < len(self._chat.tools):
            return fault[1] not in self.dropped.get(self._chat.tools[fault[0]].name, frozenset())
        return upstream.refused_setting(error) in used

    def mend(self, error: UpstreamRefusal, upstream: ModuleType) -> None:
        """Do without what ``error`` refuses, from now on; only after ``can_mend``."""
        self.count += 1
        if upstream.is_about_signature(error):
            self.keep_signatures = False
            return
        fault = upstream.schema_fault(error)
        if fault is not None and fault[0] < len(self._chat.tools):
            tool = self._chat.tools[fault[0]]
            self.dropped = {**self.dropped, tool.name: self.dropped.get(tool.name, frozenset()) | {fault[1]}}
            self._store.put(f"schema:{_tool_hash(tool)}", sorted(self.dropped[tool.name]), ttl_s=_SCHEMA_TTL_S)
            self._store.put("schemas:faulty", True, ttl_s=_SCHEMA_TTL_S)
            return
        refused = upstream.refused_setting(error)
        self.without |= {refused}
        if refused in _OF_THE_MODEL:
            self._store.put(f"refused:{self._model}", sorted(self.without & _OF_THE_MODEL), ttl_s=_SETTING_TTL_S)


def _tool_hash(tool: Tool) -> str:
    """What tells one tool from another of the same name."""
    return hashlib.blake2b(encode_json([tool.name, tool.parameters]), digest_size=16).hexdigest()


def _dropped_keywords(chat: ChatRequest, store: Store) -> dict[str, frozenset[str]]:
    """The schema keywords that Gemini has refused for these tools before."""
    if not chat.tools or not store.get("schemas:faulty"):
        return {}
    kept = {tool.name: store.get(f"schema:{_tool_hash(tool)}") for tool in chat.tools}
    return {name: frozenset(keywords) for name, keywords in kept.items() if keywords}

"""What one request does without, because the model service has refused it: now, or of a request before.

A 400 that names such a thing is no failure: the request is mended and sent again, and what was learned is kept.
"""

import copy
import hashlib
import logging
from types import ModuleType

from agproxy.chat import ChatRequest, Tool
from agproxy.errors import UpstreamRefusal
from agproxy.jsonwire import encode_json
from agproxy.store import Store

log = logging.getLogger(__name__)

_SCHEMA_TTL_S = 7 * 24 * 3600.0
_SETTING_TTL_S = 24 * 3600.0  # models are changed under their names
_MAX_REPAIRS = 6
# Whether a model takes a level of thinking, a schema or JSON mode depends on the request too, however it is worded.
_OF_THE_REQUEST = frozenset({"thinking", "json_mode", "json_schema"})


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
        self._known = self.without
        self._has_history = any(message.role == "assistant" for message in chat.messages)
        self._lasting: frozenset[str] = frozenset()  # learned by this request, and true of the model
        self._faulty: dict[str, Tool] = {}  # tools of which this request learned something, by name

    def copy(self) -> "Repairs":
        """The same state, for another call with the same request."""
        other = copy.copy(self)
        other._faulty = dict(self._faulty)
        return other

    def for_model(self, model: str) -> "Repairs":
        """What is known of the same request to another model."""
        other = Repairs(self._chat, model=model, store=self._store)
        other.keep_signatures = self.keep_signatures
        other.dropped = {**other.dropped, **self.dropped}
        return other

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
        if self._refuses_signatures(error, upstream) or self._faults(error, upstream):
            return True
        if upstream.schema_faults(error):
            return False
        return upstream.refused_setting(error, used) is not None

    def mend(self, error: UpstreamRefusal, upstream: ModuleType, *, used: frozenset[str]) -> None:
        """Do without what ``error`` refuses, from now on; only after ``can_mend``, and with the same ``used``."""
        self.count += 1
        if self._refuses_signatures(error, upstream):
            self.keep_signatures = False
            self._tell("thought signatures")
            return
        if faults := self._faults(error, upstream):
            for tool, keyword in faults:
                self.dropped = {**self.dropped, tool.name: self.dropped.get(tool.name, frozenset()) | {keyword}}
                self._faulty[tool.name] = tool
                self._tell(f"{keyword} in the schema of {tool.name}")
            return
        refused = upstream.refused_setting(error, used)
        self.without |= {refused}
        self._tell(str(refused))
        if refused not in _OF_THE_REQUEST and upstream.is_of_the_model(error):
            self._lasting |= {refused}

    def _tell(self, what: str) -> None:
        log.info("request mended model=%s without=%s", self._model, " ".join(what.split())[:200])

    def _refuses_signatures(self, error: UpstreamRefusal, upstream: ModuleType) -> bool:
        """Whether it is about signatures that are still there; without them the same words must mean something else."""
        return self.keep_signatures and upstream.is_about_signature(error, has_history=self._has_history)

    def _faults(self, error: UpstreamRefusal, upstream: ModuleType) -> list[tuple[Tool, str]]:
        """The schema keywords that it refuses and that are not left out yet."""
        named = [(self._tool(holder, at), word) for holder, at, word in upstream.schema_faults(error)]
        return [
            (tool, word)
            for tool, word in named
            if tool is not None and word not in self.dropped.get(tool.name, frozenset())
        ]

    def _tool(self, holder: int | None, index: int) -> Tool | None:
        """The tool that is declared there, if that can be told.

        :param holder: the element of ``tools``; it does not matter when the others declare nothing.
        :param index: the place among the tools that it declares.
        """
        groups = self._chat.tool_groups
        if groups:
            if holder is None or index >= sum(groups[holder : holder + 1]):
                return None
            index += sum(groups[:holder])
        return self._chat.tools[index] if index < len(self._chat.tools) else None

    def proved(self) -> None:
        """The mended request was answered: what this one did without, the next ones need not try."""
        if self._lasting:
            self._store.put(f"refused:{self._model}", sorted(self._known | self._lasting), ttl_s=_SETTING_TTL_S)
            self._known, self._lasting = self._known | self._lasting, frozenset()
        for tool in self._faulty.values():
            self._store.put(f"schema:{_tool_hash(tool)}", sorted(self.dropped[tool.name]), ttl_s=_SCHEMA_TTL_S)
            self._store.put("schemas:faulty", True, ttl_s=_SCHEMA_TTL_S)
        self._faulty = {}


def _tool_hash(tool: Tool) -> str:
    """What tells one tool from another of the same name."""
    return hashlib.blake2b(encode_json([tool.name, tool.parameters]), digest_size=16).hexdigest()


def _dropped_keywords(chat: ChatRequest, store: Store) -> dict[str, frozenset[str]]:
    """The schema keywords that Gemini has refused for these tools before."""
    if not chat.tools or not store.get("schemas:faulty"):
        return {}
    kept = {tool.name: store.get(f"schema:{_tool_hash(tool)}") for tool in chat.tools}
    return {name: frozenset(keywords) for name, keywords in kept.items() if keywords}

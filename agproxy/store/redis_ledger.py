"""The book of a shared ledger on a Redis server: one hash a key, with one row a process."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.commands.core import Script

from agproxy.store import Offer
from agproxy.store.ledger import SLOT_S, SLOTS, slot_of
from agproxy.store.redis_process import PREFIX, ProcessClient, UnusableServer
from agproxy.store.shared_ledger import process_name
from agproxy.store.uses import MAX_SKEW_S, VOID_S, Row

_KEPT_MS = int(2 * SLOTS * SLOT_S * 1000)  # longer than any row says something

# As `uses.chosen`, for who asks from several machines at once. Rows that say nothing any more are deleted on the way.
# ARGV: JSON with the present slot, this process's name, what it uses of each key, and what is asked.
_READ = """
local a = cjson.decode(ARGV[1])
local in_flight, begun = {}, {}
for i, key in ipairs(KEYS) do
  in_flight[i], begun[i] = 0, 0
  local rows = redis.call('HGETALL', key)
  for j = 1, #rows, 2 do
    if rows[j] ~= a.process then
      local says = false
      local till, uses = string.match(rows[j + 1], '^(%S+) (%d+)')
      till = tonumber(till or 0)
      if till > a.now and till <= a.latest then
        in_flight[i] = in_flight[i] + uses
        says = true
      end
      for slot, uses_begun in string.gmatch(rows[j + 1], ' (%d+):(%d+)') do
        if math.abs(tonumber(slot) - a.slot) < a.slots then
          begun[i] = begun[i] + uses_begun
          says = true
        end
      end
      if not says then redis.call('HDEL', key, rows[j]) end
    end
  end
end
local function write(i, row)
  redis.call('HSET', KEYS[i], a.process, row)
  redis.call('PEXPIRE', KEYS[i], a.kept_ms)
end
"""
_WRITE = f"""
{_READ}
for i in ipairs(KEYS) do write(i, a.rows[i]) end
return #KEYS
"""
_SETTLE = f"""
{_READ}
local taken, found = {{}}, {{}}
for i in ipairs(KEYS) do
  in_flight[i], begun[i], taken[i] = in_flight[i] + a.own[i].in_flight, begun[i] + a.own[i].begun, 0
end
for number, offers in ipairs(a.asked) do
  found[number] = 0
  for _, offer in ipairs(offers) do
    local i, most, per_minute = offer[1], offer[2], offer[3]
    if not (most > 0 and in_flight[i] >= most or per_minute > 0 and begun[i] >= per_minute) then
      in_flight[i], begun[i], taken[i], found[number] = in_flight[i] + 1, begun[i] + 1, taken[i] + 1, i
      break
    end
  end
end
for i in ipairs(KEYS) do
  if taken[i] > 0 then
    local own = a.own[i]
    local row = {{a.till, string.format('%d', own.in_flight + taken[i])}}
    for _, earlier in ipairs(own.earlier) do table.insert(row, earlier) end
    table.insert(row, string.format('%d:%d', a.slot, own.now + taken[i]))
    write(i, table.concat(row, ' '))
  end
end
return found
"""


class RedisBook:
    """A :class:`~agproxy.store.shared_ledger.Book` of one process.

    :param client: gives the store's server in this process.
    """

    def __init__(self, client: Callable[[], ProcessClient]) -> None:
        self._client = client
        self._process = process_name()
        self._scripts: dict[str, Script] = {}

    def settle(
        self, asked: Sequence[Sequence[Offer]], own: Mapping[str, Row], *, now: float
    ) -> Sequence[str | None] | None:
        keys = list(own)
        number = {key: place for place, key in enumerate(keys, 1)}  # as Lua counts
        offers = [
            [(number[key], max_in_flight, per_minute) for key, max_in_flight, per_minute in each] for each in asked
        ]
        uses = [_own(row, slot_of(now)) for row in own.values()]
        found = self._run(_SETTLE, keys, now, {"asked": offers, "own": uses, "till": f"{now + VOID_S:.3f}"})
        return None if found is None else [keys[place - 1] if place else None for place in found]

    def write(self, rows: Mapping[str, Row], *, now: float) -> bool:
        return self._run(_WRITE, list(rows), now, {"rows": [row.text() for row in rows.values()]}) is not None

    def read(self, key: str) -> list[Row] | None:
        try:
            found: dict[Any, Any] = self._client().ask(lambda client: client.hgetall(_key(key)))
        except UnusableServer:
            return None
        own = self._process.encode()
        return [row for process, text in found.items() if process != own and (row := _row(text)) is not None]

    def _run(self, text: str, keys: Sequence[str], now: float, more: dict[str, Any]) -> Any:
        """What a script finds, or None when the server cannot be used."""
        asked = {
            "process": self._process,
            "now": now,
            "latest": now + VOID_S + MAX_SKEW_S,
            "slot": slot_of(now),
            "slots": SLOTS,
            "kept_ms": _KEPT_MS,
            **more,
        }

        def work(client: "redis.Redis") -> Any:
            script = self._scripts.get(text)
            if script is None:
                script = self._scripts[text] = client.register_script(text)
            return script([_key(key) for key in keys], [json.dumps(asked)], client=client)

        try:
            return self._client().ask(work, writes=True)
        except UnusableServer:
            return None


def _own(row: Row, slot: int) -> dict[str, Any]:
    """What this process uses of a key, as the script wants it."""
    earlier = [f"{other}:{count}" for other, count in row.begun.items() if other != slot]
    begun = sum(row.begun.values())
    return {"in_flight": row.in_flight, "begun": begun, "earlier": earlier, "now": row.begun.get(slot, 0)}


def _row(text: bytes) -> Row | None:
    """The row of a text; what no agproxy has written says nothing."""
    try:
        return Row.of(text.decode())
    except ValueError:
        return None


def _key(key: str) -> str:
    return f"{PREFIX}use:{key}"

"""Several answers to one request, from a model that gives one at a time: a call for each, side by side.

There are several of one conversation (``n``), of several conversations (the prompts of Completions), or both.
"""

import collections
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from agproxy.cancel import Cancel
from agproxy.chat import ChatRequest, Event, Failed, Finish, OtherChoice, Ping, Usage

_SEEDS = 2**31
_AT_ONCE = 8


class Asked(Protocol):
    """A call; see :class:`agproxy.gateway.Call`."""

    cancel: Cancel

    @property
    def attempts(self) -> int: ...

    def events(self) -> Iterator[Event]: ...


class OtherChoices:
    """Asks for further answers, a few at a time, in threads of its own.

    :param calls: one for each, by the number of the answer.
    :param cancel: stops them too.
    """

    def __init__(self, calls: Mapping[int, Asked], cancel: Cancel) -> None:
        self._others = {number: _Other(call) for number, call in calls.items()}
        for other in self._others.values():
            cancel.also(other.call.cancel)
        self._waiting = collections.deque(self._others.values())
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            threading.Thread(target=self._work, name="agproxy-choice", daemon=True).start()

    def events(self, before_wait: Callable[[], None]) -> Iterator[Event]:
        """Yield what they answered, one answer after the other.

        :param before_wait: called before each wait for one.
        :raises GatewayError: that of the first one that failed.
        """
        for number, other in self._ended(before_wait):
            if other.error is not None:
                raise other.error
            yield from (OtherChoice(number, event) for event in other.events)

    def whole(self, before_wait: Callable[[], None]) -> Iterator[Event]:
        """As ``events``, but those that failed keep back none of the others: the error comes after these."""
        error: Exception | None = None
        for number, other in self._ended(before_wait):
            if other.error is None:
                yield from (OtherChoice(number, event) for event in other.events)
            else:
                error = error or other.error
        if error is not None:
            raise error

    def usage(self, first: Usage) -> Usage:
        """The tokens of all answers together, ``first`` being those of the first one."""
        others = self._others.values()
        counted = [first, *(each.usage for other in others for each in other.events if isinstance(each, Finish))]
        return Usage(
            input_tokens=sum(usage.input_tokens for usage in counted),
            output_tokens=sum(usage.output_tokens for usage in counted),
            cached_tokens=sum(usage.cached_tokens for usage in counted),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in counted),
        )

    def stop(self) -> None:
        """Stop those that still run: nobody waits for them any more."""
        for other in self._others.values():
            other.call.cancel.cancel()

    @property
    def attempts(self) -> int:
        """How many requests went upstream for them."""
        return sum(other.call.attempts for other in self._others.values())

    def _ended(self, before_wait: Callable[[], None]) -> Iterator[tuple[int, "_Other"]]:
        for number, other in self._others.items():
            before_wait()
            other.has_ended.wait()
            yield number, other

    def _work(self) -> None:
        while self._waiting:
            try:
                other = self._waiting.popleft()
            except IndexError:  # another thread has taken it
                return
            other.run()


class Shared:
    """What calls side by side have in common: large, and so made only once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What ``key`` stands for; whoever asks while it is made waits."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def alone(chat: ChatRequest, number: int) -> ChatRequest:
    """The request for the answer ``number`` by itself. With the same seed those of one conversation would be the same.

    :param number: from 0; ``sampling.choices`` of the first conversation, then as many of each further one.
    """
    conversation, choice = divmod(number, chat.sampling.choices)
    seed = chat.sampling.seed
    if seed is not None and choice:
        seed = (seed + choice) % _SEEDS
    messages = chat.further_messages[conversation - 1] if conversation else chat.messages
    sampling = replace(chat.sampling, choices=1, seed=seed)
    return replace(chat, messages=messages, further_messages=(), sampling=sampling)


class _Other:
    def __init__(self, call: Asked) -> None:
        self.call = call
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.has_ended = threading.Event()

    def run(self) -> None:
        try:
            for event in self.call.events():
                if isinstance(event, Failed):
                    raise event.error
                if not isinstance(event, Ping):
                    self.events.append(event)
        except Exception as error:  # raised again where it is waited for
            self.error = error
        finally:
            self.has_ended.set()

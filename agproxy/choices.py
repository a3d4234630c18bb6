"""Several answers to one request (``n``) from a model that gives one at a time: a call for each, all at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from agproxy.chat import Event, Failed, Finish, OtherChoice, Ping, Usage
from agproxy.transport import Cancel


class Asked(Protocol):
    """A call; see :class:`agproxy.gateway.Call`."""

    cancel: Cancel
    attempts: int

    def events(self) -> Iterator[Event]: ...


class OtherChoices:
    """Asks for further answers, each in a thread of its own.

    :param calls: one for each.
    :param cancel: stops them too.
    :param first: the number of the first of them.
    """

    def __init__(self, calls: Sequence[Asked], cancel: Cancel, *, first: int) -> None:
        self._first = first
        self._others = [_Other(call) for call in calls]
        for other in self._others:
            cancel.also(other.call.cancel)
            other.thread.start()

    def events(self, before_wait: Callable[[], None]) -> Iterator[Event]:
        """Yield what they answered, one answer after the other.

        :param before_wait: called before each wait for one.
        :raises GatewayError: that of the first one that failed.
        """
        for number, other in enumerate(self._others, self._first):
            before_wait()
            other.thread.join()
            if other.error is not None:
                raise other.error
            yield from (OtherChoice(number, event) for event in other.events)

    def usage(self, first: Usage) -> Usage:
        """The tokens of all answers together, ``first`` being those of the first one."""
        counted = [first, *(each.usage for other in self._others for each in other.events if isinstance(each, Finish))]
        return Usage(
            input_tokens=sum(usage.input_tokens for usage in counted),
            output_tokens=sum(usage.output_tokens for usage in counted),
            cached_tokens=sum(usage.cached_tokens for usage in counted),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in counted),
        )

    def stop(self) -> None:
        """Stop those that still run: nobody waits for them any more."""
        for other in self._others:
            other.call.cancel.cancel()

    @property
    def attempts(self) -> int:
        """How many requests went upstream for them."""
        return sum(other.call.attempts for other in self._others)


class _Other:
    def __init__(self, call: Asked) -> None:
        self.call = call
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="agproxy-choice", daemon=True)

    def _run(self) -> None:
        try:
            for event in self.call.events():
                if isinstance(event, Failed):
                    raise event.error
                if not isinstance(event, Ping):
                    self.events.append(event)
        except Exception as error:  # raised again where it is waited for
            self.error = error

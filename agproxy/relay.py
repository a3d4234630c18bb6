"""Hands the events of one call from the thread that reads upstream to the one that writes to the client.

The reader blocks in upstream's silence; the writer must not, for it has pings to send. A read cannot be resumed
after a timeout (urllib3 closes the connection), so the two need a thread, or greenlet, each.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator

from agproxy.cancel import Cancel
from agproxy.chat import Event, Failed, Ping
from agproxy.errors import ClientGone, GatewayError

log = logging.getLogger(__name__)

_QUEUE_SIZE = 16  # batches; a client that reads slowly slows upstream down


class Relay:
    """Runs ``events`` in a thread of its own.

    :param events: gives the events; calls its argument before each read that may block.
    :param cancel: stops ``events`` while it blocks.
    :param ping_s: seconds of silence after which a ``Ping`` is put in.
    :param stall_s: seconds after which a client that reads nothing is given up.
    """

    def __init__(
        self,
        events: Callable[[Callable[[], None]], Iterator[Event]],
        cancel: Cancel,
        *,
        ping_s: float,
        stall_s: float = 120.0,
    ) -> None:
        self._events = events
        self._cancel = cancel
        self._ping_s = ping_s
        self._stall_s = stall_s
        self._queue: queue.Queue[list[Event] | Exception | None] = queue.Queue(_QUEUE_SIZE)
        self._batch: list[Event] = []
        self._held: list[Event] | None = []
        self._has_begun = False
        self._is_given_up = False
        self._thread = threading.Thread(target=self._read, name="agproxy-relay", daemon=True)

    def start(self) -> bool:
        """Begin to read, and wait for the first event, but no longer than one ping interval.

        :returns: whether it has come.
        :raises Exception: what ended the call before its first event, when it did so in this time.
        """
        self._cancel.told = self._tell
        self._thread.start()
        try:
            item = self._queue.get(timeout=self._ping_s)
        except queue.Empty:
            self._held = [Ping()]  # the interval is over: servers send the head with the first bytes only
            return False
        if isinstance(item, Exception):
            raise item
        self._held = item
        return True

    def events(self) -> Iterator[Event]:
        """Yield the events, with pings in between; a call that fails ends in ``Failed``."""
        item: list[Event] | Exception | None = self._held
        while item is not None:
            if isinstance(item, Exception):
                yield Failed(_told(item))
                return
            yield from item
            try:
                item = self._queue.get(timeout=self._ping_s)
            except queue.Empty:
                item = self._cancel.error if self._is_given_up else [Ping()]

    def close(self) -> None:
        """Stop reading, whatever the reader is at. Does nothing when it has ended."""
        self._cancel.cancel()
        while True:  # a reader that waits for room in the queue goes on, and finds itself cancelled
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _tell(self, error: GatewayError) -> None:
        """End the stream though its reader cannot end: it is connecting."""
        if not self._has_begun:
            self._queue.put_nowait(error)

    def _read(self) -> None:
        last: Exception | None = None
        try:
            for event in self._events(self._before_read):
                self._has_begun = True
                self._batch.append(event)
        except Exception as error:
            last = error
        self._flush()
        self._put(last)

    def _before_read(self) -> None:
        self._flush()
        self._cancel.check()  # what had arrived by then can be read on, for long

    def _flush(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._put(batch)

    def _put(self, item: list[Event] | Exception | None) -> None:
        if self._is_given_up:
            return
        try:
            self._queue.put(item, timeout=self._stall_s)
        except queue.Full:  # a program that sleeps must not keep its account from others
            self._is_given_up = True
            self._cancel.cancel(ClientGone())
            log.warning("client has read nothing for %.0f s, its stream is given up", self._stall_s)


def _told(error: Exception) -> GatewayError:
    """What the client may know of an error; one that is not ours goes to the log."""
    if isinstance(error, GatewayError):
        return error
    log.error("a stream failed", exc_info=error)
    return GatewayError("agproxy failed; its log says why", code="internal_error")

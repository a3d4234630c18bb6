"""Faults of the Redis server that keeps agproxy's state: gone, silent, and back."""

import sys
import time

from tests.faults.served import LATENCY_MS, Row, Scene, Served, worse
from tests.redis_server import RedisServer

_AGAIN = "store can be used again"


def _gone(scene: Scene) -> Row:
    """The server is killed, and started again, empty."""
    with RedisServer() as server:
        agproxy = scene.start(store=server.url)
        scene.is_well(agproxy)
        server.kill()
        row = scene.row(agproxy)
        for _ in range(3):
            time.sleep(0.3)
            row = worse(row, scene.row(agproxy))
        scene.must(lambda: "store cannot be used" in agproxy.log(), "the log says that the store cannot be used")
        server.start()
        scene.must(lambda: _AGAIN in agproxy.log(), "the log says that the store can be used again")
        scene.is_well(agproxy)
        return row


def _silent(scene: Scene) -> Row:
    """The server takes what it is sent, and does not answer."""
    with RedisServer() as server:
        agproxy = scene.start(store=server.url)
        scene.is_well(agproxy)
        with server.silent():
            row = worse(scene.row(agproxy), scene.row(agproxy))
        scene.must(lambda: _AGAIN in agproxy.log(), "the log says that the store can be used again")
        if (ms := max(cell.ms for cell in row.values())) > LATENCY_MS:
            scene.complaints.append(f"a request took {ms:.0f} ms")
        scene.is_well(agproxy)
        return row


REDIS: tuple[Served, ...] = (
    Served("Redis killed, and back", _gone, lambda: sys.platform != "win32"),
    Served("Redis silent, and back", _silent, lambda: sys.platform != "win32"),
)

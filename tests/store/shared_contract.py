"""What every store must do whose values are the same wherever it is opened, and after a restart."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from agproxy.store import Store
from tests.store.contract import Clock, Contract, eventually


class SharedContract(Contract):
    """The tests, with those of any store. A test module derives a class, and gives ``source`` too."""

    def source(self) -> str:
        """Python that makes ``store``, by the real clock, in another process."""
        raise NotImplementedError

    @pytest.fixture
    def other(self, store: Store, clock: Clock) -> Iterator[Store]:
        """Another store that holds what the first one does."""
        other = self.make(clock)
        yield other
        other.close()

    @pytest.mark.parametrize("kind", ["rest", "session"])
    def test_others_see_what_is_put_and_deleted(self, store: Store, other: Store, clock: Clock, kind: str) -> None:
        assert other.get(f"{kind}:name") is None
        store.put(f"{kind}:name", "a", ttl_s=60)
        clock.advance(1)
        assert other.get(f"{kind}:name") == "a"
        other.put(f"{kind}:name", "b", ttl_s=60)
        clock.advance(1)
        assert store.get(f"{kind}:name") == "b"
        store.delete(f"{kind}:name")
        clock.advance(1)
        assert other.get(f"{kind}:name") is None

    @pytest.mark.parametrize("kind", ["response", "signature", "session"])
    def test_what_an_answer_leaves_behind_is_seen_at_once(self, store: Store, other: Store, kind: str) -> None:
        for number in range(20):
            assert other.get(f"{kind}:{number}") is None
            store.put(f"{kind}:{number}", number, ttl_s=60)
            assert other.get(f"{kind}:{number}") == number

    def test_restart(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        clock.advance(59)
        again = self.make(clock)
        assert again.get("kind:name") == "a"
        clock.advance(1)
        assert again.get("kind:name") is None
        again.close()

    def test_close_is_no_end(self, store: Store) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        assert store.get("kind:name") == "a"

    def test_other_process_sees_it_within_a_second(self) -> None:
        store = self.make(time.time)
        program = f"""
import sys, time
{self.source()}
for key in sys.stdin:
    missed, asked = 0.0, time.time()
    while (value := store.get(key.strip())) is None:
        time.sleep(0.01)
        missed, asked = asked, time.time()
    store.put("answer:" + key.strip(), [value, "seen"], ttl_s=60)
    print(missed, flush=True)
store.close()
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            for key in ("rest:a", "response:b", "rest:c"):
                process.stdin.write(f"{key}\n")
                process.stdin.flush()
                assert store.get(f"answer:{key}") is None
                store.put(key, "value", ttl_s=60)
                was_put = time.time()
                missed = float(process.stdout.readline())  # when it was last asked for in vain
                assert missed < was_put + 1
                eventually(lambda key=key: store.get(f"answer:{key}") == ["value", "seen"])  # type: ignore[misc]
        store.close()

    @pytest.mark.parametrize("kind", ["kind", "session", "rest"])
    def test_others_see_what_is_added(self, store: Store, other: Store, clock: Clock, kind: str) -> None:
        for number in range(20):
            assert other.get(f"{kind}:{number}") is None
            adding, asking = (store, other) if number % 2 else (other, store)
            assert adding.add(f"{kind}:{number}", "a", ttl_s=60) == "a"
            assert asking.add(f"{kind}:{number}", "b", ttl_s=60) == "a"
        clock.advance(30)
        assert [other.get(f"{kind}:{number}") for number in range(20)] == ["a"] * 20
        assert store.items(kind) == other.items(kind) == {str(number): "a" for number in range(20)}

    @pytest.mark.parametrize("kind", ["kind", "session"])
    def test_one_of_the_processes_that_add_at_once_succeeds(self, kind: str) -> None:
        program = f"""
import json, sys, time
{self.source()}
store.get("kind:none")
print("ready", flush=True)
sys.stdin.readline()
found = []
for number in range(300):
    found.append(store.add(f"{kind}:{{number}}", sys.argv[1], ttl_s=60))
    time.sleep(0.0002)
print(json.dumps(found))
store.close()
"""
        processes = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in "abc"
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
        store = self.make(time.time)
        assert found == [[store.get(f"{kind}:{number}") for number in range(300)]] * 3
        store.close()

    def test_processes_that_put_at_once_lose_nothing(self) -> None:
        program = f"""
import sys, time
{self.source()}
for number in range(200):
    store.put(f"kind:{{sys.argv[1]}}-{{number}}", number, ttl_s=60)
until = time.monotonic() + 20
while any(store.get(f"kind:{{sys.argv[1]}}-{{number}}") != number for number in range(200)):
    assert time.monotonic() < until
store.close()
"""
        processes = [
            subprocess.Popen([sys.executable, "-W", "error", "-c", program, name], stderr=subprocess.PIPE, text=True)
            for name in "abc"
        ]
        assert [process.communicate(timeout=30)[1] for process in processes] == ["", "", ""]
        store = self.make(time.time)
        assert [key for name in "abc" for key in range(200) if store.get(f"kind:{name}-{key}") != key] == []
        store.close()

"""``tools/bench`` end to end, as short as it can be; whether the bars hold is not asked, for machines differ."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "tools" / "bench_gateway.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")


def test_the_benchmark_measures_all_three_servers_and_judges_each_bar(tmp_path: Path) -> None:
    argv = [sys.executable, str(BENCH), "--quick", "--rounds", "1", "--no-bars"]
    run = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    header = next(line for line in run.stdout.splitlines() if line.startswith("each:"))
    assert header.split()[-4:] == ["forwarder", "floor", "agproxy", "agproxy/floor"]
    rows = [
        line for line in run.stdout.splitlines() if line.startswith(("CPU:", "PSS", "start-up", "added", "requests"))
    ]
    assert len(rows) == 16
    verdicts = [line for line in run.stdout.splitlines() if line.startswith(("PASS", "FAIL"))]
    assert len(verdicts) == 4

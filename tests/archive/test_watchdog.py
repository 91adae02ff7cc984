"""A process that hangs, and one that does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.required_in_ci

_WORK = """
import time
from ignite.engine import Engine
from lsinet_monai.archive.watchdog import Watchdog

watchdog = Watchdog({seconds})
engine = Engine(lambda engine, seconds: time.sleep(seconds))
watchdog.attach(engine)
watchdog.pulse()
with watchdog:
    engine.run({waits})
time.sleep({after})
print("done")
"""


@pytest.mark.parametrize(
    ("seconds", "waits", "after", "is_done"),
    [
        (2.0, [0.0, 600.0], 0.0, False),  # hangs
        (60.0, [0.0] * 5, 0.0, True),
        (5.0, [0.6] * 12, 0.0, True),  # longer than the limit, but always at work
        (2.0, [0.0], 4.0, True),  # idle after its work
    ],
)
@pytest.mark.slow
def test_a_process_ends_when_nothing_is_done_for_a_while(
    seconds: float, waits: list[float], after: float, is_done: bool
) -> None:
    work = _WORK.format(seconds=seconds, waits=waits, after=after)
    ended = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert (ended.returncode == 0, ended.stdout) == (is_done, "done\n" if is_done else ""), ended.stderr
    assert ("Timeout" in ended.stderr and "in <lambda>" in ended.stderr) or is_done  # where it hung

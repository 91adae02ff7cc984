from __future__ import annotations

import os

import pytest

from lsinet_monai.utils.cores import available_cores


def test_available_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert available_cores() == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1

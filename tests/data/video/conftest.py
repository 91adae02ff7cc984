from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@cache
def load_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("video_recipe", Path(__file__).with_name("recipe.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that takes ``kind`` and ``suffix`` run with every codec in every container of the recipe."""
    if {"kind", "suffix"} <= set(metafunc.fixturenames):
        cases = [(kind[0], suffix) for kind in load_recipe().KINDS for suffix in kind[-1].split()]
        metafunc.parametrize(("kind", "suffix"), cases)


@pytest.fixture(scope="session")
def clip(recipe: ModuleType) -> list[np.ndarray]:
    """24 frames of the phantom with their numbers: three groups of 8 from key frame to key frame when encoded."""
    return recipe.clip()


@pytest.fixture
def shape(clip: list[np.ndarray]) -> dict[str, int]:
    """The attributes of a DICOM file of the clip that say how many frames of which size it has."""
    return {"NumberOfFrames": len(clip), "Rows": 64, "Columns": 80}

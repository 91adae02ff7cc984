from __future__ import annotations

import importlib

import pytest
from monai.bundle import ConfigParser

# A package, a name of an earlier version, and the present one.
NAMES = [
    ("handlers", "CheckLogits", "FiniteLogits"),
    ("handlers", "ClipGradients", "GradientClipping"),
    ("handlers", "EqualBuffers", "BufferBroadcast"),
    ("handlers", "ExplainFailures", "FailureReporter"),
    ("handlers", "ResetInferer", "InfererReset"),
    ("handlers", "SaveModel", "ModelSaver"),
    ("handlers", "TrainingCheckpoint", "TrainingState"),
    ("handlers", "WriteClipResults", "ClipResultsSaver"),
    ("handlers", "WriteReleasedMaps", "ReleasedMapsSaver"),
    ("handlers", "WriteScores", "ScoresSaver"),
    ("data", "VideoPieces", "ClipPieces"),
    ("data", "share_clips", "rank_clips"),
    ("data", "test_splits", "find_test_splits"),
    ("networks", "Checkpoint", "LoadedModel"),
    ("inferers", "MixedPrecisionInferer", "TrainingInferer"),
]


@pytest.mark.parametrize(("package", "old", "new"), NAMES)
def test_an_earlier_name_says_the_present_one(package: str, old: str, new: str) -> None:
    module = importlib.import_module(f"lsinet_monai.{package}")
    with pytest.warns(FutureWarning, match=rf"^lsinet_monai\.{package}\.{old} is lsinet_monai\.{package}\.{new} now$"):
        assert getattr(module, old) is getattr(module, new)
    assert old not in module.__all__


def test_a_config_may_name_it() -> None:
    parser = ConfigParser({"handler": {"_target_": "lsinet_monai.handlers.ClipGradients", "limit": 0.5}})
    with pytest.warns(FutureWarning, match="GradientClipping"):
        assert parser.get_parsed_content("handler").limit == 0.5


# A package, and where a name that it had in an earlier version is now.
MOVED = [
    ("inferers", "lsinet_monai.export.StreamingStep"),
    ("inferers", "lsinet_monai.export.export_network"),
    ("handlers", "lsinet_monai.workflow.remaining_clips"),
    ("metrics", "lsinet_monai.evaluation.score_folders"),
    ("metrics", "lsinet_monai.evaluation.TruthClip"),
    ("metrics", "lsinet_monai.masks.frame_score"),
    ("metrics", "lsinet_monai.masks.has_polyp"),
    ("metrics", "lsinet_monai.masks.LesionLinker"),
    ("metrics", "lsinet_monai.masks.video_doubt"),
]


@pytest.mark.parametrize(("package", "path"), MOVED)
def test_a_name_that_moved_says_its_place(package: str, path: str) -> None:
    place, name = path.rsplit(".", 1)
    module = importlib.import_module(f"lsinet_monai.{package}")
    with pytest.warns(FutureWarning, match=rf"^lsinet_monai\.{package}\.{name} is {path} now$"):
        assert getattr(module, name) is getattr(importlib.import_module(place), name)
    assert name not in module.__all__


@pytest.mark.parametrize("package", ["handlers", "data", "networks", "inferers", "metrics"])
def test_another_name_is_unknown(package: str) -> None:
    module = importlib.import_module(f"lsinet_monai.{package}")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018

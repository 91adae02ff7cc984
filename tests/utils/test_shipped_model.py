"""The shipped model is the one that the package knows, and no other model is in git, in the wheel or in the image."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lsinet_monai.networks import load_checkpoint
from lsinet_monai.utils.shipped_model import (
    LICENCE_FILE,
    MODEL_FILE,
    NAME,
    SHA256,
    describe_model,
    is_shipped_model,
    model_hash,
)

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "bundle" / MODEL_FILE
RECIPE = ROOT / "bundle" / "configs" / "stills.json"
MOST_BYTES = 15_000_000
MOST_PARAMETERS = 6_000_000

# files of the bundle, and whether they may be in git and in the image
FILES = {
    MODEL_FILE: True,
    LICENCE_FILE: True,
    "models/model_2026-01-01_120000.pt": False,
    "models/patients.pt": False,
    "models/.model.pt.tmp": False,
    "models/network.onnx": False,
    "models/run/model.pt": False,
}


def test_the_model_is_small_and_of_its_recipe_and_the_one_that_the_package_knows() -> None:
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == SHA256
    assert MODEL.stat().st_size <= MOST_BYTES
    network = load_checkpoint(MODEL).network
    assert sum(parameter.numel() for parameter in network.parameters()) <= MOST_PARAMETERS
    assert network.config["backbone"] == json.loads(RECIPE.read_text())["backbone"]


def test_its_licence_names_what_it_was_made_from() -> None:
    text = " ".join((ROOT / "bundle" / LICENCE_FILE).read_text(encoding="utf-8").split())
    for words in (
        NAME,
        "research and education",
        "ot a medical device",
        "Kvasir-SEG: A Segmented Polyp Dataset",
        "HyperKvasir",
        "CC BY 4.0",
        "permission before any commercial use",
        f"{json.loads(RECIPE.read_text())['backbone'].removeprefix('tf_')}_pytorch_model",
        "Apache License 2.0",
    ):
        assert words in text, words


@pytest.mark.parametrize(("file", "is_shipped"), FILES.items())
def test_git_takes_this_model_only(file: str, is_shipped: bool) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", f"bundle/{file}"], cwd=ROOT)
    assert (ignored.returncode == 1) == is_shipped
    tracked = subprocess.run(["git", "ls-files", "bundle/models"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) == {f"bundle/{name}" for name, shipped in FILES.items() if shipped}


@pytest.mark.parametrize(("file", "is_shipped"), FILES.items())
def test_the_image_takes_this_model_only(file: str, is_shipped: bool) -> None:
    excluded = False
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        names = [f"bundle/{file}", *(parent.as_posix() for parent in Path("bundle", file).parents)]
        if any(fnmatch.fnmatch(name, pattern.removeprefix("!")) for name in names):
            excluded = not pattern.startswith("!")
    assert excluded != is_shipped
    assert 'is_shipped_model as it; assert it("bundle/models/model.pt")' in (ROOT / "Dockerfile").read_text()


def test_what_is_said_of_a_model_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pt"
    assert model_hash(copy) is None and not is_shipped_model(copy)
    assert describe_model(copy) == f"there is no file {copy}"
    shutil.copy(MODEL, copy)
    assert model_hash(copy) == SHA256[:16] and is_shipped_model(copy)
    said = describe_model(copy)
    assert said.startswith(f"{NAME} ({SHA256[:16]}), shipped") and "research and education" in said
    assert "not a medical device" in said and "\n" not in said
    copy.write_bytes(b"another")
    expected = hashlib.sha256(b"another").hexdigest()[:16]
    assert model_hash(copy) == expected and not is_shipped_model(copy)
    assert describe_model(copy) == f"copy.pt ({expected})"

"""What the MONAI model zoo checks of a bundle, in its order, on the bundle as it would lie there.

One thing is not the zoo's: its check of TorchScript scripts, which this network cannot be. So the export is traced
here, and gets the key of the weights.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, create_workflow, verify_metadata, verify_net_in_out
from monai.bundle.properties import InferProperties, MetaProperties
from packaging.requirements import Requirement
from PIL import Image

from lsinet_monai.networks import load_checkpoint
from lsinet_monai.utils.packaging import copy_shipped
from lsinet_monai.version import __version__

SCHEMA = Path(__file__).parents[3] / "shared" / "zoo" / "meta_schema_20240725.json"
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
LARGEST_FILE = 25_000_000  # bytes
SMALL = {
    "backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64, "batch_size": 4, "max_epochs": 1,
    "validation_fraction": 0.5,
}  # fmt: skip
VERSIONS = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}

# The configs of each kind of run, its overrides, and a file that it leaves.
UNIT_TESTS = {
    "train": (["train"], SMALL | {"output_dir": "train", "model_file": "new.pt"}, "new.pt"),
    "evaluate": (["train", "evaluate"], {"output_dir": "evaluate"}, "evaluate/scores.json"),
    "inference": (["inference"], {"output_dir": "inference"}, "inference/masks/TrainDataset/case0_0/0.png"),
}


@pytest.fixture
def bundle(empty_folder: Path) -> Path:
    """The bundle in a folder of the zoo's; the current folder is another one."""
    return copy_shipped("bundle", empty_folder / "models" / "polyp_video_segmentation_lsinet")


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Undo what a bundle's ``logging.conf`` does to the process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def metadata(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "configs" / "metadata.json").read_text())


@pytest.fixture
def random_images(empty_folder: Path) -> Path:
    """Frames and masks of noise, in SUN-SEG's layout."""
    generator = np.random.default_rng(0)
    for split in ("TrainDataset", "TestEasyDataset/Unseen"):
        for kind, shape in (("Frame", (70, 80, 3)), ("GT", (70, 80))):
            for patient in range(2):
                folder = empty_folder / "data" / split / kind / f"case{patient}_0"
                folder.mkdir(parents=True)
                for frame in range(2):
                    pixels = generator.integers(256, size=shape, dtype=np.uint8)
                    if kind == "GT":
                        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{frame}.png")
    return empty_folder / "data"


def _export(bundle: Path) -> Path:
    """Export the model to TorchScript, traced, as the bundle's README says."""
    filepath = bundle / "models" / "model.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(filepath),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        key_in_ckpt="model",
        use_trace=True,
        bundle_root=str(bundle),
        device="cpu",
    )
    return filepath


def test_files(bundle: Path) -> None:
    names = "LICENSE configs/metadata.json configs/inference.json docs/README.md docs/data_license.txt models/model.pt"
    for name in names.split():
        assert (bundle / name).stat().st_size > 0, name
    assert re.fullmatch("[a-z0-9_]+", bundle.name)
    assert all(path.stat().st_size < LARGEST_FILE for path in bundle.rglob("*"))


@pytest.mark.parametrize("heading", ["Data", "Training", "Performance", "Commands"])
def test_readme_says_what_the_zoo_asks_for(bundle: Path, heading: str) -> None:
    assert f"\n## {heading}\n" in (bundle / "docs" / "README.md").read_text()


def test_configs_are_formatted_and_have_the_standard_keys(bundle: Path) -> None:
    for path in (bundle / "configs").glob("*.json"):
        content = json.loads(path.read_text())
        assert path.read_text() == json.dumps(content, indent=4, ensure_ascii=False) + "\n", path.name
        standard = ["bundle_root", "output_dir", "dataset_dir", "device", "network_def"]
        if path.stem in ("train", "inference"):
            assert [key for key in standard if key not in content] == [], path.name
        if path.stem == "train":
            assert "val_interval" in content


def test_the_version_is_the_packages_and_has_a_changelog_entry(metadata: dict[str, Any]) -> None:
    assert metadata["version"] == metadata["required_packages_version"]["lsinet_monai"] == __version__
    assert metadata["changelog"][__version__]


@pytest.mark.required_in_ci
def test_metadata_fits_the_schema(bundle: Path) -> None:
    if not SCHEMA.is_file():
        pytest.skip(f"no schema at {SCHEMA}")
    (bundle / "eval").mkdir()
    shutil.copy(SCHEMA, bundle / "eval" / "schema.json")  # downloaded if it is missing
    verify_metadata(meta_file=str(bundle / "configs/metadata.json"), filepath=str(bundle / "eval/schema.json"))


@pytest.mark.slow
@pytest.mark.usefixtures("own_logging")
def test_a_workflow_needs_no_data_to_be_created_and_has_all_properties(bundle: Path, metadata: dict[str, Any]) -> None:
    assert metadata["supported_apps"]["MONAI Label"]
    workflow = create_workflow(
        workflow_type="inference",
        bundle_root=str(bundle),
        config_file=str(bundle / "configs" / "inference.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        meta_file=str(bundle / "configs" / "metadata.json"),
    )
    assert workflow.check_properties() == []
    workflow.properties = {**MetaProperties, **InferProperties}
    assert workflow.check_properties() == []
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_the_network_takes_and_gives_what_the_metadata_says(bundle: Path, metadata: dict[str, Any]) -> None:
    size = load_checkpoint(bundle / "models" / "model.pt").image_size
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [size, size]
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        device="cpu",
    )


@pytest.mark.slow
def test_torchscript_runs_where_this_package_is_not(bundle: Path) -> None:
    filepath = _export(bundle)
    size = load_checkpoint(bundle / "models" / "model.pt").image_size
    frame = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.save(frame, "frame.pt")
    program = (
        "import sys, torch, torchvision; sys.modules['lsinet_monai'] = None; network = torch.jit.load(sys.argv[1]); "
        "torch.save(network(torch.load('frame.pt')), 'logit.pt')"
    )
    subprocess.run([sys.executable, "-c", program, str(filepath)], check=True)
    network = load_checkpoint(bundle / "models" / "model.pt").network
    with torch.no_grad():
        torch.testing.assert_close(torch.load("logit.pt"), network(frame), atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(("configs", "overrides", "left"), UNIT_TESTS.values(), ids=UNIT_TESTS)
def test_unit_tests_of_the_zoos_kind(
    bundle: Path, random_images: Path, configs: list[str], overrides: dict[str, Any], left: str
) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in configs],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        workflow_type="inference" if configs == ["inference"] else "train",
        bundle_root=str(bundle),
        dataset_dir=str(random_images),
        device="cpu",
        num_workers=0,
        **overrides,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    assert Path(left).is_file()


@pytest.mark.parametrize("name", ["av", "pydicom"])
def test_what_reads_the_declared_data_is_required(metadata: dict[str, Any], name: str) -> None:
    assert "video" in metadata["data_type"] and name in metadata["required_packages_version"]


def test_required_versions_are_those_that_the_package_allows(metadata: dict[str, Any]) -> None:
    tomllib = pytest.importorskip("tomllib")
    versions = {name: metadata[key] for name, key in VERSIONS.items()}
    versions |= metadata["required_packages_version"]
    versions.pop("lsinet_monai")
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = map(Requirement, project["dependencies"] + extras["metrics"] + extras["video"])
    allowed = {requirement.name: requirement.specifier for requirement in requirements}
    # TensorBoard comes with an extra of MONAI's.
    assert [name for name in versions if name not in allowed] == ["tensorboard"]
    assert [name for name, version in versions.items() if name in allowed and version not in allowed[name]] == []
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in versions.values())

"""One process for many inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.workflow import InferenceProcess


def test_one_input_after_another_also_after_an_error(phantom: Path, model_file: Path, empty_folder: Path) -> None:
    first, second = sorted((phantom / "TrainDataset" / "Frame").iterdir())[:2]
    process = InferenceProcess(checkpoint=str(model_file), device="cpu", write_overlay=False)
    process(first, "out/first")
    with pytest.raises(InputError, match="nothing: no such folder or file"):
        process("nothing", "out/nothing")
    process(second, "out/second")
    names = [path.stem for path in sorted(second.iterdir())]
    assert [path.stem for path in sorted(Path("out/second/maps", second.name).iterdir())] == names


def test_a_model_that_is_not_there(empty_folder: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pt"):
        InferenceProcess(checkpoint="no/model.pt", device="cpu")

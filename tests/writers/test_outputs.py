from __future__ import annotations

from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.writers import Outputs

EXPORTS: list[tuple[Any, list[str]]] = [
    ([], []),
    ("", []),
    ("csv", ["csv"]),
    ("coco,csv", ["csv", "coco"]),
    ("coco, csv", ["csv", "coco"]),
    (("nrrd", "csv", "csv"), ["csv", "nrrd"]),
    (["csv", "coco", "cvat", "nifti", "nrrd"], ["csv", "coco", "cvat", "nifti", "nrrd"]),
]

BAD_OPTIONS = [
    ({"exports": ["tiff"]}, "export 'tiff' is not one of csv, coco, cvat, parquet, nifti, nrrd"),
    ({"frames": "0:2"}, "add nifti or nrrd to exports"),
    ({"with_images": "true", "exports": ["csv"]}, "add nifti or nrrd to exports"),
    ({"exports": ["nrrd"], "frames": "2:2"}, "empty"),
    ({"exports": ["nrrd"], "frames": "-3:"}, "is not A:B"),
    ({"exports": ["coco"], "write_masks": False}, "write the masks too"),
    ({"write_maps": "perhaps"}, "write_maps='perhaps' is neither true nor false"),
]


@pytest.mark.parametrize(("given", "exports"), EXPORTS)
def test_exports(given: Any, exports: list[str]) -> None:
    assert Outputs(exports=given).exports == exports


@pytest.mark.parametrize(("options", "problem"), BAD_OPTIONS)
def test_options_that_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Outputs(**options)


def test_switches_may_be_text() -> None:
    outputs = Outputs(write_maps="false", show_score="True")  # type: ignore[arg-type]
    assert (outputs.write_maps, outputs.show_score) == (False, True)


@pytest.mark.parametrize(
    ("frames", "expected"), [(None, range(5)), ("1:3", range(1, 3)), ("3:", range(3, 5)), ("7:", range(0))]
)
def test_stack_frames(frames: str | None, expected: range) -> None:
    outputs = Outputs(exports=["nrrd"], frames=frames)
    assert outputs.has_stack
    assert outputs.stack_frames(5) == expected

from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.data.mask_files.class_list_files import CLASS_LIST_FILES, Unclear, read_class_list
from lsinet_monai.errors import InputError

MACHINE, CSV, NAMES = "obj_class_to_machine_color.json", "_classes.csv", "class_names.txt"

# the file, its text, the labels
LISTS = [
    ("labelmap.txt", "# label:color_rgb:parts:actions\npolyp:250, 50, 83::\nno label\n", {"polyp": (250, 50, 83)}),
    (
        CSV,
        "Pixel Value, Class\n0, background\n1, instrument\n2, polyp\n",
        {"background": 0, "instrument": 1, "polyp": 2},
    ),
    (CSV, '\ufeffPixel Value,Class\r\n0,background\r\n\r\n7,"polyp, flat"\r\n', {"background": 0, "polyp, flat": 7}),
    (NAMES, "_background_\ninstrument\npolyp\n\n", {"_background_": 0, "instrument": 1, "polyp": 2}),
    (NAMES, "__ignore__\n_background_\npolyp", {"__ignore__": 255, "_background_": 0, "polyp": 1}),
    (NAMES, "background\n\npolyp", {"background": 0, "polyp": 2}),  # an empty line counts
    (NAMES, "polyp\n", {}),
    (MACHINE, '{"instrument": [1, 1, 1], "polyp": [2, 2, 2]}', {"instrument": 1, "polyp": 2}),
    (MACHINE, '{"polyp": [0, 255, 0], "grey": [9, 9, 9]}', {"polyp": (0, 255, 0), "grey": (9, 9, 9)}),
]


@pytest.mark.parametrize(("name", "text", "labels"), LISTS)
def test_class_lists(tmp_path: Path, name: str, text: str, labels: dict) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert list(read_class_list(tmp_path / name).items()) == list(labels.items())


# the file, its text, the reason
UNCLEAR = [
    (CSV, "filename, polyp\na.png, 1\n", "does not begin with Pixel Value, Class"),
    (CSV, "", "does not begin with Pixel Value, Class"),
    (CSV, "Pixel Value, Class\n256, polyp\n", "has the line '256, polyp', not a number from 0 to 255 and a name"),
    (CSV, "Pixel Value, Class\npolyp\n", "has the line 'polyp', not a number"),
    (CSV, "Pixel Value, Class\n1, polyp\n2, polyp\n", "gives the name polyp to 1 and to 2"),
    (NAMES, "instrument\npolyp\n", "does not begin with _background_, so"),
    (NAMES, "", "does not begin with _background_"),
    (NAMES, "_background_" + "\nx" * 300, "has more than 255 names"),
    (NAMES, "_background_\npolyp\npolyp", "gives the name polyp to 1 and to 2"),
    (MACHINE, "{", "is not JSON"),
    (MACHINE, "[1]", "is not a JSON object of names and colours"),
    (CSV, "Pixel Value, Class\n1, " + "x" * 200_000, "is not CSV"),
    (MACHINE, '{"polyp": [1, 1]}', r"polyp must have three numbers from 0 to 255, such as \[1, 1, 1\], not \[1, 1\]"),
    (MACHINE, '{"polyp": [1, 1, 300]}', "polyp must have three numbers"),
]


@pytest.mark.parametrize(("name", "text", "reason"), UNCLEAR)
def test_lists_that_do_not_say_which_value_is_which(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Unclear, match=f"^{reason}"):
        read_class_list(tmp_path / name)


# only CVAT has a labelmap.txt; files of the other names may be no class lists, which then is for the masks to decide
@pytest.mark.parametrize("name", CLASS_LIST_FILES)
def test_a_list_that_is_no_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    error, message = Unclear, r"^cannot be read \('utf-8' codec"
    if name == "labelmap.txt":
        error, message = InputError, r"labelmap\.txt: cannot be read \('utf-8' codec.*\); mend or remove it$"
    with pytest.raises(error, match=message):
        read_class_list(tmp_path / name)

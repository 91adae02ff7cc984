from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.data.mask_files.class_lists import (
    ClassList,
    agreed_labels,
    check_agreement,
    find_class_lists,
)
from lsinet_monai.errors import InputError

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\n\npolyp:250, 50, 83::\na tool:0,255,0\nno label\n"
LABELS = {"background": BLACK, "polyp": (250, 50, 83), "a tool": GREEN}


@pytest.mark.parametrize("folder", ["", "SegmentationClass", "a/b", "a/b/c"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_class_list_lies_with_the_masks_or_above(tmp_path: Path, folder: str, mark: str) -> None:
    (tmp_path / "labelmap.txt").write_text(mark + LABELMAP, encoding="utf-8")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (found,) = find_class_lists([str(tmp_path / folder / "0.png")])
    assert found == ClassList(str(tmp_path / "labelmap.txt"), LABELS) and found.others == ["polyp", "a tool"]
    assert find_class_lists([str(tmp_path / "a/b/c/d/0.png")]) == []


def test_the_nearest_class_list_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    (tmp_path / "a/labelmap.txt").write_text("polyp:1,2,3::")
    (found,) = find_class_lists([str(tmp_path / "a/0.png"), str(tmp_path / "a/b/0.png")])
    assert found.labels == {"polyp": (1, 2, 3)}


def test_class_lists_of_other_tools(tmp_path: Path) -> None:
    for number, (name, text) in enumerate(
        (
            ("_classes.csv", "Pixel Value, Class\n1, polyp"),
            ("class_names.txt", "tool\npolyp"),
            ("class_names.txt", "polyp"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / f"{number}/{name}").write_text(text)
    numbers, unclear = find_class_lists([str(tmp_path / f"{number}/0.png") for number in range(3)])
    assert numbers.labels == {"polyp": 1} and numbers.has_numbers and not numbers.problem
    assert not unclear.labels and "class_names.txt does not begin with _background_" in unclear.problem
    (tmp_path / "1/labelmap.txt").write_text("polyp:1,2,3::")
    (found,) = find_class_lists([str(tmp_path / "1/0.png")])
    assert found.labels == {"polyp": (1, 2, 3)} and not found.has_numbers


def test_a_class_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"labelmap\.txt: cannot be read .*; mend or remove it"):
        find_class_lists([str(tmp_path / "0.png")])


def test_the_class_list_of_each_folder_counts(tmp_path: Path) -> None:
    for number, text in enumerate(("polyp:1,2,3::", "polyp:1,2,3::", "tool:1,2,3::", "no label")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / f"{number}/labelmap.txt").write_text(text)
    found = find_class_lists([str(tmp_path / f"{number}/0.png") for number in range(4)])
    assert [(Path(each.path).parent.name, [*each.labels]) for each in found] == [("0", ["polyp"]), ("2", ["tool"])]


def test_a_label_that_may_be_polyp_or_not_is_refused_with_its_file() -> None:
    with pytest.raises(InputError, match=r"'non-pedunculated polyp' of class_names\.txt may be polyp or not"):
        _ = ClassList("a/class_names.txt", {"_background_": 0, "non-pedunculated polyp": 1}).polyps


A = ClassList("a/labelmap.txt", {"polyp": RED, "tool": GREEN})
AGREE = [
    ([A], None),
    ([A, ClassList("b", {"Polyp": RED, "tool": BLUE})], None),
    ([A, ClassList("b", {"tool": GREEN})], None),
    ([A, ClassList("b", {"Polyp": RED, "tool": BLUE})], ["polyp"]),
]


@pytest.mark.parametrize(("class_lists", "names"), AGREE)
def test_class_lists_that_agree_on_polyp(class_lists: list[ClassList], names: list[str] | None) -> None:
    check_agreement(class_lists, names)


# the other labels of a set, the names of polyp, the message
DISAGREE = [
    ({"Polyp": BLUE}, None, r"polyp is rgb\(255,0,0\) in a/labelmap.txt, but rgb\(0,0,255\) in b/labelmap.txt: mend"),
    ({"tool": RED}, None, r"rgb\(255,0,0\) is polyp in a/labelmap.txt, but tool in b/labelmap.txt: mend"),
    ({"flat polyp": GREEN}, None, r"rgb\(0,255,0\) is flat polyp in b/labelmap.txt, but tool in a/labelmap.txt"),
    ({"tool": BLUE}, ["tool"], r"tool is rgb\(0,255,0\) in a/labelmap.txt, but"),
]


@pytest.mark.parametrize(("labels", "names", "message"), DISAGREE)
def test_class_lists_that_disagree_on_polyp_are_refused(
    labels: dict[str, tuple[int, int, int]], names: list[str] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_agreement([A, ClassList("b/labelmap.txt", labels)], names)


def test_labels_on_which_class_lists_agree() -> None:
    assert agreed_labels([]) == {} and agreed_labels([A]) == A.labels
    other = ClassList("b", {"tool": BLUE, "lesion": (1, 2, 3)})
    assert agreed_labels([A, other]) == {"polyp": RED, "lesion": (1, 2, 3)}

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.writers.frame_records import FrameRecord, RecordFile, read_records, write_records

RECORDS = [
    FrameRecord(0, "a.jpg", 0.0, 20, 50, 0.0, 0.1, 1 / 3, False),
    FrameRecord(2, 'name, with "quotes"\nand more.png', None, 20, 50, 0.1 + 0.2, 1.0, 1e-9, True),
    FrameRecord(3, "b\udcff.jpg", 0.04, 20, 50, 1.0, 1.0, 0.0, True),
    FrameRecord(4, "c.jpg", 0.06, 20, 50, 0.0, 0.0, 0.0, False, left_empty=True),
]


def test_there_and_back(tmp_path: Path) -> None:
    write_records(tmp_path / "a.csv", RECORDS)
    assert read_records(tmp_path / "a.csv") == RECORDS
    assert read_records(tmp_path / "none.csv") == []
    lines = (tmp_path / "a.csv").read_bytes().splitlines()
    assert lines[0] == b"index,file,seconds,height,width,area,score,uncertainty,has_polyp,left_empty"
    assert lines[1] == b"0,a.jpg,0.0,20,50,0.0,0.1,0.3333333333333333,False,False"


@pytest.mark.parametrize(
    "torn", ["", "4", "4,c.jpg,0.1,20,50,0.5,0.5,0.5,Tr", '4,"c', "4,c\n", "x,c.jpg,0,2,5,0,0,0,True\n"]
)
def test_a_torn_end_is_dropped(tmp_path: Path, torn: str) -> None:
    file = RecordFile(tmp_path / "a" / "b.csv", RECORDS[:1])
    for record in RECORDS[1:]:
        file.append(record)
    with (tmp_path / "a" / "b.csv").open("a") as other:
        other.write(torn)
    assert read_records(tmp_path / "a" / "b.csv") == RECORDS
    file.close()


@given(st.integers(0))
def test_wherever_it_is_cut_whole_lines_are_left(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "c.csv"
    write_records(path, RECORDS)
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    found = read_records(path)
    assert found == RECORDS[: len(found)] and len(found) < len(RECORDS)


def test_summary_entry() -> None:
    entry = RECORDS[0].summary()
    assert entry.pop("frame") == "a"
    assert entry.keys() == {"index", "seconds", "area", "score", "uncertainty", "has_polyp", "left_empty"}


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    lines = [
        "index,file,seconds,height,width,area,score,uncertainty,has_polyp",
        "0,a.jpg,0.5,20,50,0.25,0.75,0.125,True",
    ]
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in lines))
    assert read_records(tmp_path / "a.csv") == [FrameRecord(0, "a.jpg", 0.5, 20, 50, 0.25, 0.75, 0.125, True, False)]

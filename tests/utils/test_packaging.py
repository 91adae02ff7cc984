from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lsinet_monai.__main__ import main
from lsinet_monai.errors import InputError
from lsinet_monai.utils.packaging import copy_shipped, shipped_files, shipped_folder
from lsinet_monai.utils.shipped_model import LICENCE_FILE, MODEL_FILE

ROOT = Path(__file__).parents[2]
FOLDERS = {"bundle": ROOT / "bundle", "label": ROOT / "apps" / "lsinet_label"}


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_in_the_repository_they_are_next_to_the_package(name: str, folder: Path) -> None:
    assert shipped_folder(name).samefile(folder)


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_a_command_copies_them(name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "new" / "copy"
    main(["copy", name, str(destination)])
    assert capsys.readouterr().out.strip() == str(destination)
    assert [path.name for path in destination.parent.iterdir()] == ["copy"]
    copied = {path.relative_to(destination): path.read_bytes() for path in destination.rglob("*") if path.is_file()}
    assert all((folder / path).read_bytes() == content for path, content in copied.items())
    made_by_use = ("models", "__pycache__", "bin", "logs", "model")
    expected = {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".gitignore" and not set(path.relative_to(folder).parts) & set(made_by_use)
    }
    if name == "bundle":
        expected |= {Path(MODEL_FILE), Path(LICENCE_FILE)}
    assert set(copied) == expected


def test_no_other_model_is_shipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (
        "configs/train.json",
        MODEL_FILE,
        LICENCE_FILE,
        "models/model_2026-01-01_120000.pt",
        "models/model.ts",
    ):
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(b"of patients")
    assert shipped_files("bundle", tmp_path) == [Path("bundle/configs/train.json"), Path("bundle", LICENCE_FILE)]
    assert "bundle/models/model.pt is not the model that this package ships" in caplog.text
    shutil.copy(ROOT / "bundle" / MODEL_FILE, tmp_path / "bundle" / MODEL_FILE)
    assert shipped_files("bundle", tmp_path)[1:] == [Path("bundle", LICENCE_FILE), Path("bundle", MODEL_FILE)]


def test_packages_of_the_label_app_are_shipped() -> None:
    files = {path.relative_to("apps/lsinet_label").as_posix() for path in shipped_files("label", ROOT)}
    assert {"main.py", "lib/errors.py", "lib/store/video.py", "lib/routes/videos.py", "page/index.html"} <= files


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for destination in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="is there already; choose another folder"):
            copy_shipped("bundle", destination)
    with pytest.raises(InputError, match="cannot be made"):
        copy_shipped("bundle", tmp_path / "file" / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert (copy_shipped("bundle", tmp_path) / "LICENSE").is_file()

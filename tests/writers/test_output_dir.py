from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.writers import check_model_file, prepare_output_dir


def test_prepare_output_dir(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert prepare_output_dir(folder) == folder and folder.is_dir()
    (folder / "empty").mkdir()
    assert prepare_output_dir(str(folder)) == folder
    (folder / "empty" / "x.png").touch()
    with pytest.raises(
        InputError, match=r"did not write \(e.g. 'empty/x.png'\).*--overwrite, which .* keeps all others"
    ):
        prepare_output_dir(folder)
    assert prepare_output_dir(folder, overwrite=True) == folder and (folder / "empty/x.png").exists()
    with pytest.raises(InputError, match="is a file"):
        prepare_output_dir(folder / "empty" / "x.png", overwrite=True)
    with pytest.raises(InputError, match="cannot be created"):
        prepare_output_dir(folder / "empty" / "x.png" / "below")


def test_leftovers_of_a_stopped_run_do_not_count(tmp_path: Path) -> None:
    left = tmp_path / ".lock"
    left.touch()
    assert prepare_output_dir(tmp_path, leftovers=[left, tmp_path / "other"]) == tmp_path
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".lock").touch()
    with pytest.raises(InputError, match=r"holds files that this run did not write \(e.g. 'below/.lock'\)"):
        prepare_output_dir(tmp_path, leftovers=[left])


@pytest.mark.parametrize("output_dir", ["frames", "frames/out", "frames/new/../out", "link/out"])
def test_output_may_not_lie_in_the_input(tmp_path: Path, output_dir: str) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "link").symlink_to("frames")
    with pytest.raises(InputError, match=r"output_dir '.*' lies in the input '.*frames'"):
        prepare_output_dir(tmp_path / output_dir, overwrite=True, input_dir=tmp_path / "frames")
    assert not list((tmp_path / "frames").iterdir())


@pytest.mark.parametrize("kind", ["masks", "maps/case1", "overlays"])
def test_the_input_may_not_lie_where_results_go(tmp_path: Path, kind: str) -> None:
    (tmp_path / kind).mkdir(parents=True)
    with pytest.raises(InputError, match=r"the input '.*' lies where results would be written, in output_dir"):
        prepare_output_dir(tmp_path, overwrite=True, input_dir=tmp_path / kind)


@pytest.mark.parametrize("output_dir", [".", "frames_out", "frames/../out"])
def test_output_may_lie_next_to_and_above_the_input(tmp_path: Path, output_dir: str) -> None:
    (tmp_path / "frames").mkdir()
    assert prepare_output_dir(tmp_path / output_dir, input_dir=tmp_path / "frames").is_dir()


@pytest.mark.parametrize("name", ["a#b", "a::b", "$a", "a b, c", "~"])
def test_a_name_is_taken_literally(tmp_path: Path, name: str) -> None:
    prepare_output_dir(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["config_20261127_074745.json", "mlruns.db", "mlruns.db-wal", "mlruns/1/metric"])
def test_what_tracking_has_written_is_in_nobodys_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    prepare_output_dir(tmp_path)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / Path(name).name).touch()
    with pytest.raises(InputError, match="holds files"):
        prepare_output_dir(tmp_path)


def test_check_model_file(tmp_path: Path) -> None:
    assert check_model_file(tmp_path / "new" / "model.pt") == tmp_path / "new" / "model.pt"
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"model_file '.*' is a folder"):
        check_model_file(tmp_path)

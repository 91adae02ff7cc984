from __future__ import annotations

import os

import pytest
from lib.model import ServedModel

from lsinet_monai.errors import InputError
from lsinet_monai.networks import save_model


@pytest.fixture
def model(tmp_path):
    return ServedModel(tmp_path / "given.pt", tmp_path / "trained", "cpu")


def test_without_a_model(model):
    state = model.state()
    assert (state["path"], state["available"]) == (None, False) and "--conf checkpoint FILE" in state["how"]
    with pytest.raises(InputError, match=r"no model at given\.pt"):
        model.load()


def test_a_file_is_loaded_once_and_again_when_it_changes(model, tmp_path, small_network):
    save_model(small_network, tmp_path / "given.pt", 64)
    mark, loaded = model.load()
    assert mark.startswith("given.pt ") and loaded.image_size == 64 and model.load()[1] is loaded
    assert model.state() == {"path": "given.pt", "available": True, "how": "in service"}
    os.utime(tmp_path / "given.pt", (1, 1))
    assert model.load()[0] != mark and model.load()[1] is not loaded


def test_the_newest_model_that_was_trained_from_the_given_one_serves(model, tmp_path):
    trained = tmp_path / "trained"
    trained.mkdir()
    for name, source in (("a", "given.pt"), ("b", "given.pt"), ("c", "another.pt")):
        (trained / f"{name}.pt").touch()
        (trained / f"{name}.json").write_text(f'{{"from": "{tmp_path / source}"}}')
    assert model.path() == trained / "b.pt"
    (trained / "b.pt").unlink()
    assert model.path() == trained / "a.pt"

from __future__ import annotations

import hashlib
import os

import pytest
from lib.model import ServedModel

from lsinet_monai.errors import InputError
from lsinet_monai.networks import save_model
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE, NAME


@pytest.fixture
def model(tmp_path):
    return ServedModel(tmp_path / "given.pt", tmp_path / "trained", "cpu")


def test_without_a_model(model):
    state = model.state()
    assert (state["path"], state["available"]) == (None, False) and "--conf checkpoint FILE" in state["how"]
    assert (state["sha256"], state["about"]) == (None, None)
    with pytest.raises(InputError, match=r"no model at given\.pt"):
        model.load()


@pytest.mark.slow
def test_a_file_is_loaded_once_and_again_when_it_changes(model, tmp_path, small_network):
    save_model(small_network, tmp_path / "given.pt", 64)
    mark, loaded = model.load()
    assert mark.startswith("given.pt ") and loaded.image_size == 64 and model.load()[1] is loaded
    sha256 = hashlib.sha256((tmp_path / "given.pt").read_bytes()).hexdigest()[:16]
    state = {"path": "given.pt", "available": True, "how": "in service", "sha256": sha256, "points": False}
    assert model.state() == state | {"about": f"given.pt ({sha256})"} and mark.endswith(f" {sha256}")
    os.utime(tmp_path / "given.pt", (1, 1))
    assert model.load()[0] != mark and model.load()[1] is not loaded


def test_the_shipped_model_says_its_terms(tmp_path):
    about = ServedModel(shipped_folder("bundle") / MODEL_FILE, tmp_path / "trained", "cpu").state()["about"]
    assert NAME in about and "research and education" in about and "not a medical device" in about


def test_the_newest_model_that_was_trained_from_the_given_one_serves(model, tmp_path):
    trained = tmp_path / "trained"
    trained.mkdir()
    for name, source in (("a", "given.pt"), ("b", "given.pt"), ("c", "another.pt")):
        (trained / f"{name}.pt").touch()
        (trained / f"{name}.json").write_text(f'{{"from": "{tmp_path / source}"}}')
    assert model.path() == trained / "b.pt"
    (trained / "b.pt").unlink()
    assert model.path() == trained / "a.pt"

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, create_network, load_checkpoint, save_checkpoint, save_model

MANIFEST = Path(__file__).parents[1] / "parity" / "manifest_pvt_v2_b1.json"
BACKBONE = "mobilenetv3_small_100"


@pytest.fixture(scope="module")
def network() -> LSINet:
    torch.manual_seed(0)
    return LSINet(BACKBONE, drop_path_rate=0.1).eval()


@pytest.fixture(scope="module")
def saved(network: LSINet, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "model.pt"
    save_model(network, path, [64, 96])
    return path.read_bytes()


@pytest.mark.parametrize("image_size", [352, [256, 320]], ids=str)
@torch.no_grad()
def test_round_trip(tmp_path: Path, network: LSINet, image_size: int | list[int]) -> None:
    path = tmp_path / "models" / "model.pt"
    save_model(network, path, image_size)
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]
    loaded = load_checkpoint(str(path))
    assert loaded.image_size == image_size
    assert loaded.network.config == network.config
    assert not loaded.network.training
    weights = loaded.network.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=0)
    frame = torch.randn(1, 3, 64, 64)
    network.encoder.backbone.to(memory_format=torch.channels_last)
    torch.testing.assert_close(loaded.network(frame), network(frame), rtol=0, atol=0)


def test_the_earlier_name_writes_the_same_file(tmp_path: Path, network: LSINet, saved: bytes) -> None:
    save_checkpoint(tmp_path / "model.pt", network, [64, 96])
    assert (tmp_path / "model.pt").read_bytes() == saved


def test_a_failed_save_leaves_the_earlier_file(
    tmp_path: Path, network: LSINet, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"earlier")

    def save_half(content: Any, file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(OSError, match="No space left"):
        save_model(network, path, 352)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    assert path.read_bytes() == b"earlier"


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}], ids=["plain", "nested"])
def test_authors_file(tmp_path: Path, wrap) -> None:
    shapes = json.loads(MANIFEST.read_text())
    torch.save(wrap({f"module.{name}": torch.full(shape, 0.5) for name, shape in shapes.items()}), tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded.network.config["backbone"] == "pvt_v2_b1"
    assert loaded.image_size == 352
    assert not loaded.network.training
    assert all((value == 0.5).all() for value in loaded.network.parameters())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_a_compiled_network_that_was_saved(tmp_path: Path, network: LSINet, prefix: str) -> None:
    weights = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    torch.save({"model": weights, "network": network.config, "image_size": 64}, tmp_path / "model.pt")
    loaded = load_checkpoint(tmp_path / "model.pt").network.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


def test_authors_file_that_lacks_something(tmp_path: Path) -> None:
    shapes = json.loads(MANIFEST.read_text())
    shapes.pop("membranch.Key1.bias")
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth.*missing: membranch\.Key1\.bias"):
        load_checkpoint(tmp_path / "a.pth")


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert f"checkpoint={str(path)!r}" in message and "\n" not in message
    return message


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1000, -1])
def test_truncated_file(tmp_path: Path, saved: bytes, size: int) -> None:
    (tmp_path / "model.pt").write_bytes(saved[:size])
    assert "cannot be read as a file of weights" in _refused(tmp_path / "model.pt")


@pytest.mark.parametrize("part", [slice(-2000, None), slice(200_000, 204_096)], ids=["list of contents", "weights"])
def test_damaged_file(tmp_path: Path, saved: bytes, part: slice) -> None:
    content = bytearray(saved)
    content[part] = bytes(len(content[part]))
    (tmp_path / "model.pt").write_bytes(content)
    assert "cannot be read as a file of weights" in _refused(tmp_path / "model.pt")


# The unpickler's errors for these have no common class.
NO_WEIGHTS = {
    "text": b"epoch,loss\n1,0.5\n",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "html": b"<!DOCTYPE html><html></html>",
    "pops an empty stack": b"\x80\x02a.",
    "cut in a number": b"\x80\x02J\x01",
}


@pytest.mark.parametrize("content", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_no_file_of_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    assert "cannot be read as a file of weights" in _refused(tmp_path / "model.pt")


class _Touch:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_file_is_not_run(tmp_path: Path, save) -> None:
    save({"model": _Touch(tmp_path / "was_run")}, tmp_path / "model.pt")
    assert "cannot be read as a file of weights" in _refused(tmp_path / "model.pt")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["none.pt", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    assert "is not a file" in _refused(tmp_path / name)


def test_weights_of_another_network(tmp_path: Path, network: LSINet) -> None:
    content = {"model": network.state_dict(), "network": {"backbone": "convnext_atto"}, "image_size": 352}
    torch.save(content, tmp_path / "model.pt")
    message = _refused(tmp_path / "model.pt")
    assert "do not fit" in message and "encoder.backbone.stem_0.weight" in message


# Files with weights that are not model files, and a part of the error.
NO_MODELS = {
    "state dict": ({"conv1.weight": torch.zeros(1)}, "it holds: conv1.weight"),
    "list": ([torch.zeros(1)], "it holds: list"),
    "another package's": ({"model": {}, "network": {"depth": 50}, "image_size": 1}, "depth"),
    "no state dict": ({"model": [], "network": {"backbone": BACKBONE}, "image_size": 1}, "do not fit"),
    "unknown backbone": (
        {"model": {}, "network": {"backbone": "unknown"}, "image_size": 1},
        "'unknown' is not a model",
    ),
}


@pytest.mark.parametrize(("content", "said"), NO_MODELS.values(), ids=NO_MODELS)
def test_no_model(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    assert said in _refused(tmp_path / "model.pt")


@pytest.mark.parametrize("channels_last", [True, False])
def test_create_network(channels_last: bool) -> None:
    network = create_network(BACKBONE, drop_path_rate=0.2, channels_last=channels_last)
    assert network.training and network.config == {"backbone": BACKBONE, "drop_path_rate": 0.2}
    kernels = [w for w in network.encoder.backbone.parameters() if w.ndim == 4 and w.shape[1] > 1 and w.shape[2] > 1]
    assert kernels
    assert all(w.is_contiguous(memory_format=torch.channels_last) == channels_last for w in kernels)


def test_create_network_from_a_model_file(tmp_path: Path, network: LSINet, saved: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved)
    created = create_network("pvt_v2_b5", pretrained=True, checkpoint=path)
    assert created.config == network.config
    weights = network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in created.state_dict().items())
    with pytest.raises(InputError, match="is not a file"):
        create_network(checkpoint=tmp_path / "nowhere.pt")


def test_a_model_file_turns_the_mask_embedding_on(tmp_path: Path) -> None:
    network = LSINet(BACKBONE, drop_path_rate=0.1, mask_embedding=True)
    save_model(network, tmp_path / "model.pt", 64)
    loaded = load_checkpoint(tmp_path / "model.pt").network
    assert loaded.mask_embedding is not None
    assert loaded.fingerprint() == network.fingerprint()


def test_a_model_file_turns_the_prompt_head_on_and_a_training_leaves_it_as_it_is(tmp_path: Path) -> None:
    network = LSINet(BACKBONE, prompt_head=True)
    save_model(network, tmp_path / "model.pt", 64)
    loaded = load_checkpoint(tmp_path / "model.pt").network
    assert loaded.prompt_head is not None
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    created = create_network(checkpoint=tmp_path / "model.pt")
    trained = {name.split(".")[0] for name, value in created.named_parameters() if value.requires_grad}
    assert "encoder" in trained and "prompt_head" not in trained


@pytest.mark.parametrize("make", [load_checkpoint, lambda path, **options: create_network(checkpoint=path, **options)])
def test_a_file_without_mask_embedding_gets_one_to_train(
    tmp_path: Path, network: LSINet, saved: bytes, caplog: pytest.LogCaptureFixture, make
) -> None:
    (tmp_path / "model.pt").write_bytes(saved)
    with caplog.at_level("INFO", "lsinet_monai"):
        made = make(tmp_path / "model.pt", mask_embedding="true")
    loaded = getattr(made, "network", made)
    assert [record.message for record in caplog.records if "mask embedding" in record.message] == [
        f"'{tmp_path / 'model.pt'}' has no mask embedding: it gets a new one, which starts at zero"
    ]
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights.pop(name)) for name, value in network.state_dict().items())
    assert weights and all(name.startswith("mask_embedding.") for name in weights)
    assert not loaded.mask_embedding.training


@pytest.mark.parametrize("entry", ["model_ema", "ema"])
def test_averaged_weights_next_to_others_are_said(
    tmp_path: Path, network: LSINet, saved: bytes, entry: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved)
    load_checkpoint(path)
    assert not caplog.records
    content = torch.load(path, weights_only=True)
    torch.save({**content, entry: {name: value * 0 for name, value in content["model"].items()}}, path)
    assert load_checkpoint(path).network.state_dict().keys() == network.state_dict().keys()
    assert f"the weights under 'model' are taken; it has averaged ones too, under '{entry}': to take" in caplog.text
    torch.save({**content, "model": torch.load(path, weights_only=True)[entry]}, path)  # as the line says
    assert not any(value.any() for value in load_checkpoint(path).network.state_dict().values())

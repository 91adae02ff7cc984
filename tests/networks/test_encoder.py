from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet
from lsinet_monai.networks.encoder import create_backbone

# (backbone, side of the frame): those in the docs, and some of other families: depth-wise, NHWC, without stochastic
# depth, and with other names of weights in timm's feature extractor.
BACKBONES = [
    *[(f"pvt_v2_b{i}", 64) for i in (0, 5)],
    *[pytest.param(f"pvt_v2_b{i}", 64, marks=pytest.mark.slow) for i in (1, 2, 3, 4)],
    ("res2net50_26w_4s", 64),
    ("res2net50d", 64),
    ("convnext_atto", 64),
    ("mobilenetv3_small_100", 64),
    pytest.param("swin_tiny_patch4_window7_224", 96, marks=pytest.mark.slow),
    ("efficientvit_b0", 64),
    pytest.param("hiera_tiny_224", 224, marks=pytest.mark.slow),
]
WITHOUT = [
    ("pvt_v2_b9", ["pvt_v2_b9", "pvt_v2_b5"]),
    ("nonsense", ["nonsense", "list_models"]),
    ("vit_tiny_patch16_224", ["vit_tiny_patch16_224", "strides [16, 16, 16]", "8, 16 and 32"]),
]


def _to_official_pvt_v2(name: str) -> str:
    """The official PVTv2's name for one of timm's."""
    name = re.sub(r"^patch_embed\.", "patch_embed1.", name)
    name = re.sub(r"^stages\.(\d)\.downsample\.", lambda m: f"patch_embed{int(m[1]) + 1}.", name)
    name = re.sub(r"^stages\.(\d)\.blocks\.", lambda m: f"block{int(m[1]) + 1}.", name)
    name = re.sub(r"^stages\.(\d)\.norm\.", lambda m: f"norm{int(m[1]) + 1}.", name)
    return name.replace(".mlp.dwconv.", ".mlp.dwconv.dwconv.")


# (backbone, from timm's names to those in the file). timm uses the names of Res2Net's authors.
WEIGHT_FILES = [
    pytest.param("pvt_v2_b0", lambda name: name, id="pvt_v2-timm"),
    pytest.param("pvt_v2_b0", _to_official_pvt_v2, id="pvt_v2-official"),
    pytest.param("res2net50_26w_4s", lambda name: name, id="res2net", marks=pytest.mark.slow),
    pytest.param("hiera_tiny_224", lambda name: name, id="hiera-timm", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "side"), BACKBONES)
@torch.no_grad()
def test_backbones(backbone: str, side: int) -> None:
    network = LSINet(backbone).eval()
    frame = torch.randn(1, 3, side, side)
    assert [x.shape for x in network.encode(frame).features] == [(1, 32, side // s, side // s) for s in (8, 16, 32)]
    assert network(frame).shape == (1, 1, side, side)


@pytest.mark.parametrize(("backbone", "said"), WITHOUT)
def test_backbones_that_will_not_do(backbone: str, said: list[str]) -> None:
    with pytest.raises(InputError) as error:
        LSINet(backbone)
    assert all(part in str(error.value) for part in said)


def test_pretrained_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", offline)
    with pytest.raises(InputError) as error:
        LSINet("pvt_v2_b0", pretrained=True)
    message = str(error.value)
    said = ("pretrained=true", "pvt_v2_b0", "no route to host", "go online", "encoder_weights=FILE", "pretrained=false")
    assert all(part in message for part in said)
    assert "\n" not in message


def test_pretrained_weights_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = timm.create_model("pvt_v2_b0").state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *args, **kwargs: dict(weights))
    features = create_backbone("pvt_v2_b0", pretrained=True, drop_path_rate=0.3)
    torch.testing.assert_close(features.patch_embed.proj.weight, weights["patch_embed.proj.weight"])


@pytest.mark.parametrize(("backbone", "rename"), WEIGHT_FILES)
@torch.no_grad()
def test_encoder_weights(tmp_path: Path, backbone: str, rename) -> None:
    model = timm.create_model(backbone).eval()
    file = tmp_path / "weights.pth"
    torch.save({rename(name): value for name, value in model.state_dict().items()}, file)
    # encoder_weights takes precedence over pretrained: nothing is downloaded.
    network = LSINet(backbone, pretrained=True, encoder_weights=file, drop_path_rate=0.0).eval()
    side = model.default_cfg["input_size"][-1] if model.default_cfg.get("fixed_input_size") else 64
    frame = torch.randn(1, 3, side, side)
    torch.testing.assert_close(network.encoder.backbone(frame)[-1], _last_features(model, frame), atol=1e-4, rtol=1e-4)


def _last_features(model: torch.nn.Module, frame: Tensor) -> Tensor:
    return model.forward_intermediates(frame, indices=1, intermediates_only=True)[-1]


def _damage(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    weights.pop("stages.0.norm.weight")
    return weights


# (file name, its content, a part of the error)
WRONG_FILES = [
    ("none.pth", None, "not a file"),
    ("text.pth", b"<!DOCTYPE html>", "does not hold weights of 'pvt_v2_b0'"),
    ("other.pth", lambda: timm.create_model("mobilenetv3_small_100").state_dict(), "does not hold weights"),
    ("larger.pth", lambda: timm.create_model("pvt_v2_b1").state_dict(), "size mismatch"),
    ("lacks.pth", lambda: _damage(timm.create_model("pvt_v2_b0").state_dict()), "stages.0.norm.weight"),
]


@pytest.mark.parametrize(("name", "content", "said"), WRONG_FILES, ids=[case[0] for case in WRONG_FILES])
def test_wrong_encoder_weights(tmp_path: Path, name: str, content, said: str) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content(), file)
    with pytest.raises(InputError) as error:
        LSINet("pvt_v2_b0", encoder_weights=file)
    message = str(error.value)
    assert str(file) in message and said in message and "\n" not in message


def test_encoder_weights_that_are_damaged_inside(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("mobilenetv3_small_100").state_dict(), file)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"does not hold weights of 'mobilenetv3_small_100' \(damaged"):
        LSINet("mobilenetv3_small_100", encoder_weights=file)


def test_backbone_that_takes_one_size_only() -> None:
    with pytest.raises(InputError, match=r"hiera_tiny_224.*\(224, 224\) only, got \(96, 96\)"):
        LSINet("hiera_tiny_224").encode(torch.zeros(1, 3, 96, 96))


def test_encoder_weights_run_nothing(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Payload()}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="does not hold weights"):
        LSINet("mobilenetv3_small_100", encoder_weights=tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_encoder_weights_without_a_classifier(tmp_path: Path) -> None:
    state = timm.create_model("mobilenetv3_small_100").state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("classifier.")}, tmp_path / "weights.pth")
    loaded = LSINet("mobilenetv3_small_100", encoder_weights=tmp_path / "weights.pth").encoder.backbone.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], state["conv_stem.weight"])


@pytest.mark.parametrize("amp_dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "pvt_v2_b0", "resnet18"])
def test_half_precision_begins_behind_the_early_stages(backbone: str, amp_dtype: torch.dtype) -> None:
    network = LSINet(backbone, drop_path_rate=0.0).eval()
    layers = [x for x in network.encoder.backbone.modules() if isinstance(x, torch.nn.Conv2d | torch.nn.Linear)]
    dtypes = []
    for layer in (layers[0], layers[-1]):
        layer.register_forward_hook(lambda layer, inputs, output: dtypes.append(output.dtype))
    frame = torch.randn(1, 3, 64, 64)
    features = network.encode(frame, amp_dtype)
    assert dtypes == [torch.float32, amp_dtype]
    assert {x.dtype for scales in features for x in scales} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")
    network.encode(frame)  # the hook is gone
    assert dtypes[2:] == [torch.float32] * 2

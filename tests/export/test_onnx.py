from __future__ import annotations

import sys

import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.export.onnx import onnx_translations


def test_the_operators_that_are_translated() -> None:
    pytest.importorskip("onnxscript")
    expected = {torch.ops.lsinet_monai.deform_conv2d.default, torch.ops.aten.sort.stable}
    assert set(onnx_translations()) == expected


def test_it_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r'onnxscript is not installed: pip install "lsinet_monai\[export\]"'):
        onnx_translations()


class Sort(torch.nn.Module):
    def __init__(self, descending: bool) -> None:
        super().__init__()
        self.descending = descending

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argsort(dim=1, descending=self.descending, stable=True)


@pytest.mark.slow
@pytest.mark.parametrize("descending", [True, False])
def test_the_sort_is_stable(descending: bool) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    x = torch.tensor([[2.0, 1.0, 2.0, 0.0, 1.0, 2.0]])
    program = torch.onnx.export(
        Sort(descending), (x,), dynamo=True, opset_version=19, custom_translation_table=onnx_translations()
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert found.tolist() == x.argsort(dim=1, descending=descending, stable=True).tolist()

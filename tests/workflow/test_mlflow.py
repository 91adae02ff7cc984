from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.workflow.call import Call
from lsinet_monai.workflow.mlflow import adapt_tracking

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
SMALL = {"backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64, "max_epochs": 1, "num_workers": 0}
HANDLER = {"_target_": "MLFlowHandler", "output_transform": "$monai.handlers.from_engine(['loss'], first=True)"}


def _parser(**config: Any) -> monai.bundle.ConfigParser:
    parser = monai.bundle.ConfigParser(config)
    parser.parse()
    return parser


def test_the_curves_are_logged() -> None:
    pytest.importorskip("mlflow")
    parser = _parser(train={"handlers": [{"_target_": "Other"}, dict(HANDLER)]})
    adapt_tracking(Call(parser))
    transform = parser.get_parsed_content("train#handlers#1#output_transform")
    assert transform({"loss": 1, "curves": {"train_loss": 2}}) == {"train_loss": 2}
    own = _parser(train={"handlers": [{**HANDLER, "output_transform": "$len"}]})
    adapt_tracking(Call(own))
    assert own.get_parsed_content("train#handlers#0#output_transform") is len


def test_the_recorded_config_is_found() -> None:
    parser = _parser(output_dir="out", save_execute_config="out + '/config_20260101_000000.json'")
    adapt_tracking(Call(parser))
    assert parser.get_parsed_content("save_execute_config") == str(Path("out", "config_20260101_000000.json"))


def test_a_config_recorded_elsewhere_is_refused() -> None:
    parser = _parser(output_dir="/home/out", save_execute_config="~/out + '/config_20260101_000000.json'")
    with pytest.raises(InputError, match="has written to '~/out', which is not output_dir"):
        adapt_tracking(Call(parser))


def test_without_mlflow_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r'pip install "lsinet_monai\[tracking\]"'):
        adapt_tracking(Call(_parser(handlers=[dict(HANDLER)])))
    adapt_tracking(Call(_parser(handlers=["@saver"], train={"handlers": []})))


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_a_training_is_tracked(phantom: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    options = {**SMALL, "dataset_dir": str(phantom), "device": "cpu", "validation_fraction": 0.5}
    config = str(CONFIGS / "train.json")
    monai.bundle.run("training", config_file=config, output_dir="out", tracking="mlflow", logging_file=False, **options)
    client = mlflow.MlflowClient(f"sqlite:///{Path('out/mlruns.db').resolve()}")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_experiment").experiment_id])
    assert {"train_loss", "train_loss/S_3", "val_mean_dice"} <= run.data.metrics.keys()
    (artifact,) = client.list_artifacts(run.info.run_id)
    assert json.loads(Path("out", artifact.path).read_text())["max_epochs"] == 1

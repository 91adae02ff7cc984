from __future__ import annotations

import sys
from pathlib import Path

import fire
import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser, load

from lsinet_monai.errors import find_input_error
from lsinet_monai.networks import load_checkpoint
from lsinet_monai.utils.packaging import copy_shipped, shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE
from lsinet_monai.workflow import start


def test_start_reports_in_one_line_and_refuses_old_ids(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    parser = ConfigParser({"imports": ["$import lsinet_monai.workflow as workflow"], "shares": 1,
                           "initialize": "$workflow.start()"})  # fmt: skip
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("initialize")
    assert find_input_error(caught.value) is not None
    sys.excepthook(type(caught.value), caught.value, None)
    assert capsys.readouterr().err.startswith("error: shares is an id of an earlier version")


def test_start_without_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    start()


@pytest.mark.slow
def test_a_bundle_is_loaded_with_its_weights_from_any_folder(empty_folder: Path) -> None:
    copy_shipped("bundle", empty_folder / "models" / "lsinet")
    options = {"bundle_dir": str(empty_folder / "models"), "device": "cpu"}
    network = load("lsinet", workflow_type="inference", **options)
    expected = load_checkpoint(shipped_folder("bundle") / MODEL_FILE).network.state_dict()
    assert all(torch.equal(value.cpu(), expected[name]) for name, value in network.state_dict().items())
    assert not network.training
    with pytest.raises(RuntimeError) as caught:
        load("lsinet", **options)
    assert "without the weights" in str(find_input_error(caught.value))


# docs/infer.md lists these. No line of this package runs before them, so it cannot word them.
REFUSED_BY_MONAI = [
    "--nosuch#key 1",
    "--part#nosuch#key 1",
    "--section#list#9 1",
    "--section#list#x 1",
    "--threshold#x 1",
    "--input %nosuch",
    "--threshold %nosuch",
    "--workflow_type nosuch",
    "--args_file nosuch.json",
    "--tracking nosuch",
]


@pytest.mark.filterwarnings("ignore:parsing config_file")
@pytest.mark.parametrize("arguments", REFUSED_BY_MONAI)
def test_what_monai_refuses_before_the_package_runs(config: Path, arguments: str) -> None:
    line = ["run", *arguments.split(), "--config_file", str(config), "--logging_file", "False"]
    with pytest.raises((LookupError, ValueError, TypeError, OSError)) as caught:
        fire.Fire(monai.bundle, line)
    modules = {entry.frame.f_globals["__name__"] for entry in caught.traceback}
    assert not any(name.startswith("lsinet_monai") for name in modules)
    assert "monai.bundle.scripts" in modules

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export

from lsinet_monai.workflow import bundle_root

CONFIG = {
    "imports": ["$import lsinet_monai.workflow as workflow"],
    "bundle_root": "$workflow.bundle_root()",
    "initialize": [],
    "run": "$open('root', 'w').write(@bundle_root)",
}

# The config files, from the current folder, and their bundle. Another bundle is in "bundle".
ROOTS = [
    (["two/configs/train.json"], "two"),
    (["two/configs/train.json", "bundle/configs/train.json"], "two"),
    (["bundle/configs/train.json"], "bundle"),
    (["mine/train.json"], "bundle"),  # a copy that is in no bundle
    (["two/configs/../configs/train.json"], "two/configs/.."),
]


@pytest.fixture(autouse=True)
def _bundles(empty_folder: Path) -> None:
    for folder in ("two/configs", "bundle/configs", "mine"):
        Path(folder).mkdir(parents=True)
        Path(folder, "train.json").write_text(json.dumps(CONFIG))


@pytest.mark.parametrize(("files", "root"), ROOTS)
def test_the_bundle_is_that_of_the_config(files: list[str], root: str) -> None:
    workflow = ConfigWorkflow(files, logging_file=False)
    assert workflow.parser.get_parsed_content("bundle_root") == root
    workflow.initialize()
    workflow.run()
    assert Path("root").read_text() == root == workflow.bundle_root


@pytest.mark.parametrize(
    ("folder", "file", "root"), [("two/configs", "train.json", ".."), ("two", "configs/train.json", ".")]
)
def test_in_the_bundle_itself(monkeypatch: pytest.MonkeyPatch, folder: str, file: str, root: str) -> None:
    monkeypatch.chdir(folder)
    workflow = ConfigWorkflow(file, logging_file=False)
    assert Path(workflow.parser.get_parsed_content("bundle_root")).resolve() == Path(root).resolve()


def test_without_a_file_it_is_the_current_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundle_root() == ConfigParser(CONFIG).get_parsed_content("bundle_root") == "bundle"
    monkeypatch.chdir("mine")
    assert bundle_root() == "."


def test_a_verb_that_exports() -> None:
    """It has a parser alone, so that the file is taken from the call."""
    config = {**CONFIG, "network_def": "$open('root', 'w').write(@bundle_root)"}
    Path("two/configs/net.json").write_text(json.dumps(config))
    Path("two/model.pt").touch()
    with pytest.raises(Exception):  # noqa: B017 - there is no network to export
        ckpt_export("network_def", filepath="net.ts", ckpt_file="two/model.pt", config_file="two/configs/net.json")
    assert Path("root").read_text() == "two"

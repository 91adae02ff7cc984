from __future__ import annotations

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from lsinet_monai.workflow.call import find_call, typed_values

# Words of a command line, and the values of its keys.
LINES = [
    (["run", "inference", "--input", "a#b"], {"input": "a#b"}),
    (["--input=a=b", "--x", "--y", "-1"], {"input": "a=b", "y": "-1"}),
    (["--train#lr", "2", "-k", "3", "--dataset-dir", ""], {"train::lr": "2", "k": "3", "dataset_dir": ""}),
    (["--input"], {}),
]


@pytest.mark.parametrize(("words", "values"), LINES)
def test_typed_values(words: list[str], values: dict[str, str]) -> None:
    assert typed_values(words) == values


def test_outside_a_config_there_is_no_call() -> None:
    assert find_call() is None


def test_a_parser_alone() -> None:
    parser = ConfigParser({"imports": ["$import lsinet_monai.workflow.call as call"], "x": "$call.find_call()"})
    found = parser.get_parsed_content("x")
    assert found.parser is parser and found.workflow is None and found.files == []


def test_a_workflow_whose_parser_is_asked(tmp_path) -> None:
    (tmp_path / "config.json").write_text('{"x": "$__import__(\'lsinet_monai\').workflow.call.find_call()"}')
    workflow = ConfigWorkflow(str(tmp_path / "config.json"), logging_file=False)
    found = workflow.parser.get_parsed_content("x")
    assert found.workflow is workflow and found.files == []

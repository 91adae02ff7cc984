from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from lsinet_monai.errors import find_input_error
from lsinet_monai.workflow.given_values import PATH_KEYS, expand_home

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
HOME = str(Path.home())

# A command line, the key, and the value that it means. Files of these names exist where the line says so.
COMMANDS = [
    ("--input case3#2.mp4", "input", "case3#2.mp4"),
    ("--input=case3#2.mp4", "input", "case3#2.mp4"),
    ("--input 'a #b'", "input", "a #b"),
    ("--input 2024#1", "input", "2024#1"),
    ("--input a%#b", "input", "a%#b"),
    ("--input 100%.mp4", "input", "100%.mp4"),
    ("--input ./%a.mp4", "input", "./%a.mp4"),
    ("--input '$a.mp4'", "input", "$a.mp4"),
    ("--input '$a b.mp4'", "input", "$a b.mp4"),
    ("--input '$data'", "input", "$data"),
    ("--input '$a@b.mp4'", "input", "$a@b.mp4"),
    ("--input '@x'", "input", "@x"),
    ("--input a@input.mp4", "input", "a@input.mp4"),
    ("--input a::b", "input", "a::b"),
    ("--input 20240101", "input", "20240101"),
    ("--input 1e5", "input", "1e5"),
    ("--input 0012", "input", "0012"),
    ("--input 1,2", "input", "1,2"),
    ("--input [a]", "input", "[a]"),
    ("--input '{a: 1}'", "input", "{a: 1}"),
    ("--input True", "input", "True"),
    ("--input 'my clip.mp4'", "input", "my clip.mp4"),
    ("""--input "it's" """, "input", "it's"),
    ("""--input '"quoted"' """, "input", "quoted"),  # Fire's way to give text
    ("--input ~/clip.mp4", "input", f"{HOME}/clip.mp4"),
    ("--input=~/case#2", "input", f"{HOME}/case#2"),
    ("--input ./~", "input", "./~"),
    ("--input a~b", "input", "a~b"),
    ("--input case#1 --input case#2", "input", "case#2"),
    ("--input case#1", "dataset_dir", "case#1"),  # which refers to it
    ("--dataset_dir case#1", "input", "data"),
    ("--dataset-dir case#1", "dataset_dir", "case#1"),
    ("--output_dir=~/out", "output_dir", f"{HOME}/out"),
    ("--output_dir 'out#$1'", "output_dir", "out#$1"),
    ("--output_dir '$out'", "output_dir", "$out"),
    ("--checkpoint None", "checkpoint", None),
    ("--checkpoint null", "checkpoint", None),
    # what stays an expression or a reference
    ("--input '@output_dir'", "input", "out"),
    ("--input '$@output_dir + \"/a\"'", "input", "out/a"),
    ("--input '$str(@section#number)'", "input", "1"),
    ("--input '$json.dumps([1 for _ in (1, 2)])'", "input", "[1, 1]"),
    ("--input '%output_dir'", "input", "out"),
    ("--bundle_root ~", "checkpoint", f"{HOME}/models/model.pt"),
    ("--learning_rate '$2 * @threshold'", "learning_rate", 1.0),
    ("--section#number 5", "section", {"number": 5, "list": [1, 2]}),
    ("--section#list#0 5", "section", {"number": 1, "list": [5, 2]}),
    # other values
    ("--part#amp false", "part", {"amp": False, "size": 3}),
    ("--part#amp true --part#more 2", "part", {"amp": True, "size": 3, "more": 2}),
    ("--part#size None", "part", {"amp": False, "size": None}),
    ("--learning_rate null", "learning_rate", None),
    ("--threshold true", "threshold", "true"),  # switches at the top take the text
]

# Files that exist, and what they make of a value that could be something else.
FILES = [
    ("@output_dir", "--input '@output_dir'"),
    ("$str(1)", "--input '$str(1)'"),
    ("null", "--input null"),
    ("%output_dir", "--input %output_dir"),
    ("%section", "--input %section"),
    ("%", "--input %"),
    ("'a'", """--input "'a'" """),
]

# Values in Python; a number is not a path there.
CALLS = [("case3#2.mp4", "case3#2.mp4"), ("$a.mp4", "$a.mp4"), ("~/a", f"{HOME}/a"), ("@output_dir", "out"), (7, 7)]


@pytest.mark.parametrize(("arguments", "key", "value"), COMMANDS)
def test_a_command_line_means_what_it_says(command: Callable[..., Any], arguments: str, key: str, value: Any) -> None:
    assert command(arguments)[key] == value


@pytest.mark.parametrize(("name", "arguments"), FILES)
def test_a_file_that_exists_is_meant(command: Callable[..., Any], name: str, arguments: str) -> None:
    Path(name).touch()
    assert command(arguments)["input"] == name


def test_a_reference_in_a_config_is_no_file(command: Callable[..., Any]) -> None:
    Path("@input").touch()
    assert command("")["dataset_dir"] == "data"


@pytest.mark.parametrize(("given", "value"), CALLS)
def test_a_call_from_python(call: Callable[..., Any], given: Any, value: Any) -> None:
    assert call(input=given)["input"] == value


def test_values_of_an_args_file(command: Callable[..., Any]) -> None:
    Path("args.json").write_text(json.dumps({"input": "case#1", "output_dir": "~/out"}))
    seen = command("--args_file args.json --output_dir 7")
    assert (seen["input"], seen["output_dir"]) == ("case#1", "7")


# The value of "input" in an overlay, and what it means: nothing but ~ changes there.
IN_FILES = [
    ("$@output_dir + '/a'", "out/a"),
    ("$str(@section#number)", "1"),
    ("@output_dir", "out"),
    ("~/a", f"{HOME}/a"),
    ("case#1", "case#1"),
    ("case::1", "case::1"),
]


@pytest.mark.parametrize(("text", "value"), IN_FILES)
def test_values_in_config_files(command: Callable[..., Any], text: str, value: str) -> None:
    Path("overlay.json").write_text(json.dumps({"input": text}))
    assert command("", "['config.json','overlay.json']")["input"] == value


def test_a_value_stays_when_the_config_is_parsed_again(config: Path) -> None:
    Path("a#b").touch()
    workflow = ConfigWorkflow(str(config), logging_file=False, input="a#b")
    for _ in range(2):
        workflow.initialize()
        workflow.run()
        assert json.loads(Path("seen.json").read_text())["input"] == "a#b"


def test_a_workflow_made_in_python_does_not_guess(config: Path) -> None:
    workflow = ConfigWorkflow(str(config), logging_file=False, output_dir="a#b")
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert "output_dir 'a::b' does not exist, and may have had a #" in str(find_input_error(caught.value))


@pytest.mark.parametrize("key", PATH_KEYS)
@pytest.mark.parametrize("in_file", [False, True])
def test_an_empty_path_is_refused_unless_it_means_none(command: Callable[..., Any], key: str, in_file: bool) -> None:
    Path("overlay.json").write_text(json.dumps({key: "" if in_file else "a", "seen#key": f"@{key}"}))
    found = command("" if in_file else f"--{key} ''", "['config.json','overlay.json']")
    if key in ("dataset_dir", "features_dir"):
        assert found["key"] == ""
    else:
        assert found == f"{key} is empty: a path is needed; leave the key out to take the usual one"


def test_expand_home() -> None:
    values = {"input": "~/a", "output_dir": "a~b", "checkpoint": Path("~"), "text": "~"}
    assert expand_home(values) == {**values, "input": f"{HOME}/a"}


def test_all_path_keys_are_in_a_shipped_config() -> None:
    shipped = {key for path in CONFIGS.glob("*.json") for key in ConfigParser.load_config_file(path)}
    assert set(PATH_KEYS) <= shipped
    assert {key for key in shipped if key.endswith(("_dir", "_file", "path"))} <= set(PATH_KEYS)

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from lsinet_monai.errors import find_input_error
from lsinet_monai.workflow.call import Call
from lsinet_monai.workflow.unknown_keys import check_overlays, find_runs
from tests.preloaded import BUNDLE, Preloaded

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"

# The shipped configs, and what a person can run in them.
RUNS = {
    "train": ["run", "training"],
    "train evaluate": ["run", "training", "evaluating"],
    "train cpu finetune": ["run", "training"],
    "train stills": ["run", "training"],
    "train multi_gpu_train": ["run", "training"],
    "inference": ["run", "inference"],
    "inference multi_gpu_inference": ["run", "inference"],
    "inference export": ["run", "inference", "exporting"],
}

# A command line that is refused, and what the line says.
REFUSED = [
    ("write", ["no such run: write in config.json", "did you mean writing?"]),
    ("section", ["no such run: section", "there are run, writing"]),
    ("section#number", ["no such run: section"]),  # Fire cuts it at the #
    ("part", ["no such run: part"]),
    ("seen", ["no such run: seen"]),
    ("threshold", ["no such run: threshold"]),
    ("initialize", ["no such run: initialize"]),
    ("training", ["no such run: training", "it is in train.json"]),
    ("evaluating", ["no such run: evaluating", "it is in evaluate.json"]),
    ("exporting", ["no such run: exporting", "it is in export.json"]),
    ("--run_id runn", ["no such run: runn", "did you mean run?"]),
    ("--thresold 0.9", ["no key thresold (did you mean threshold?) in config.json"]),
    ("--thresold 0.9 --checkpoin a", ["no key thresold (", "no key checkpoin (did you mean checkpoint?)"]),
    ("--thresold None", ["no key thresold"]),
    ("--loging_file a", ["did you mean logging_file"]),
    ("--section#numbr 2", ["no key section#numbr (did you mean section#number?)"]),
    ("--ratio#denominatr 2", ["no key ratio#denominatr (did you mean ratio#denominator"]),
    ("--ratio#xyz 2", ["no key ratio#xyz in config.json"]),
    ("--max_epochs 2", ["no key max_epochs (it is in train.json)"]),
    ("--xyz 2", ["no key xyz in config.json: leave it out"]),
    ("--xyz", ["no key xyz"]),
    ("--input -x.mp4", ["no key x.mp4 in", "if it is a file, write ./ before its name, or --input=NAME"]),
    ("--checkpoint -weights", ["no key weights", "or --checkpoint=NAME"]),
    ("--a 2 --b @a", ["no key b "]),
    ("--shares 2", ["shares is an id of an earlier version"]),
    ("--output_dir None", ["output_dir=None: a path is needed; leave the key out"]),
    ("--input null", ["input=null: a path is needed"]),
    ("--input ''", ["input is empty: a path is needed"]),
    ("--output_dir=", ["output_dir is empty: a path is needed"]),
    ("--run @run", ["run refers to itself, and runs nothing"]),
    ("--run writing", ["run='writing' runs nothing: leave it out; --run_id says what to run"]),
    ("writing --final_id finalise", ["'finalise' belongs to no key"]),
    ("writing --input my clip.mp4", ["'clip.mp4' belongs to no key", "quotes"]),
]

ACCEPTED = [
    "writing",
    "run",
    "--run_id writing --init_id initialize --final_id finalize",
    "--a 2 --learning_rate @a",  # something refers to the key
    "--a 2 --learning_rate %a",
    "--part#more 2",
    "--ratio#denominator 2",
    "--ratio#_desc_ text",
    "--_meta_#version 2",
    "--workflow_type infer",
]


@pytest.mark.parametrize(("configs", "runs"), RUNS.items())
def test_find_runs(configs: str, runs: list[str]) -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / f"{name}.json") for name in configs.split()])
    assert find_runs(parser) == runs


@pytest.mark.parametrize("configs", [*RUNS, "train fast", "train stills time", "train demo", "train cvc_clinicdb"])
def test_the_shipped_overlays_have_no_typing_error(configs: str) -> None:
    files = [str(CONFIGS / f"{name}.json") for name in configs.split()]
    parser = ConfigParser()
    parser.read_config(files)
    check_overlays(Call(parser, config_file=files))


def test_a_run_of_a_users_own() -> None:
    config = {
        "initialize": "@build",
        "build": "$1",
        "run_a": "$2",
        "run_b": {"_target_": "f", "size": "@size"},
        "both": ["@run_a", "@run_b"],
        "size": "$3",
        "list": [1],
        "text": "a",
    }
    assert find_runs(ConfigParser(config)) == ["run_a", "run_b", "both"]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_a_command_line_is_refused(command: Callable[..., Any], arguments: str, said: list[str]) -> None:
    line = command(arguments)
    assert isinstance(line, str) and all(text in line for text in said), line


@pytest.mark.parametrize("arguments", ACCEPTED)
def test_a_command_line_is_accepted(command: Callable[..., Any], arguments: str) -> None:
    assert command(arguments)["input"] == "data"


def test_keys_of_an_overlay_are_known(command: Callable[..., Any]) -> None:
    Path("overlay.json").write_text(json.dumps({"mine": 1, "_comment": "", "section#mine": 2}))
    assert command("--mine 2 --section#mine 3", "['config.json','overlay.json']")["section"]["mine"] == 3


# An overlay with a key that changes nothing, and what the line says.
MISTYPED = [
    ({"thresold": 0.9}, "thresold in overlay.json changes nothing: did you mean threshold?"),
    ({"section#numbr": 2}, "section#numbr in overlay.json changes nothing: did you mean number?"),
    ({"+section": {"numbr": 2}}, "section#numbr in overlay.json changes nothing: did you mean number?"),
    ({"+section": {"numbr": "$1"}}, "section#numbr in overlay.json changes nothing: did you mean number?"),
    ({"+ratio": {"denominatr": 2}}, "ratio#denominatr in overlay.json changes nothing: did you mean denominator?"),
]

MEANT = [
    {"thresholds": 0.9, "learning_rate": "@thresholds"},
    {"thresholds": 0.9, "learning_rate": "%thresholds"},
    {"thresholds": "$print('a run of its own')"},
    {"+ratio": {"denominator": "@section#number"}},  # an argument that the config leaves out
    {"_threshold": 0.9, "threshold_old": 0.8, "old_threshold": 0.7, "+section": {"_number": 2}},
    {"+section": {"list": [3]}, "+part": {"sizes": 4}, "colour": "blue"},
]


@pytest.mark.parametrize(("overlay", "said"), MISTYPED)
def test_a_typing_error_in_an_overlay_is_refused(
    command: Callable[..., Any], overlay: dict[str, Any], said: str
) -> None:
    Path("overlay.json").write_text(json.dumps(overlay))
    assert said in command("", "['config.json','overlay.json']")


@pytest.mark.parametrize("overlay", MEANT)
def test_a_key_of_an_overlay_is_accepted(command: Callable[..., Any], overlay: dict[str, Any]) -> None:
    Path("overlay.json").write_text(json.dumps(overlay))
    assert isinstance(command("", "['config.json','overlay.json']"), dict)


def test_calls_from_python_are_checked(call: Callable[..., Any]) -> None:
    assert "did you mean threshold?" in call(thresold=0.9)
    assert "did you mean writing?" in call("write")
    assert call("writing", threshold=0.9)["threshold"] == 0.9


# Real commands, and the last line of their standard error.
COMMANDS = [
    ("train --config_file {configs}/train.json", "no such run: train"),
    ("inference --config_file {configs}/inference.json --thresold 0.99", "no key thresold (did you mean threshold?)"),
    ("evaluating --config_file {configs}/evaluate.json", "evaluate.json adds to train.json, which is missing"),
    ("inference --config_file {configs}/inference.json --input my clip.mp4", "'clip.mp4' belongs to no key"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "said"), COMMANDS)
def test_a_command_ends_in_one_line(preloaded: Preloaded, empty_folder: Path, arguments: str, said: str) -> None:
    result = preloaded.run(BUNDLE, "run", *arguments.format(configs=CONFIGS).split(), "--device", "cpu")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    last = result.stderr.rstrip("\n").rpartition("\n")[2]
    assert last.startswith("error: ") and said in last
    assert not list(empty_folder.iterdir())


@pytest.mark.slow
def test_a_command_reads_and_writes_the_paths_as_they_are(
    preloaded: Preloaded, phantom: Path, model_file: Path, empty_folder: Path
) -> None:
    frames = next((phantom / "TrainDataset" / "Frame").iterdir())
    shutil.copytree(frames, "case3#2")
    Path("case3").mkdir()
    shutil.copy(next(frames.iterdir()), "case3")
    options = ["--input", "case3#2", "--output_dir=$out, [1]", "--checkpoint", str(model_file), "--device", "cpu"]
    result = preloaded.run(BUNDLE, "run", "inference", "--config_file", str(CONFIGS / "inference.json"), *options)
    assert result.returncode == 0, result.stderr
    assert len(list(Path("$out, [1]/masks/case3#2").iterdir())) == 3


@pytest.mark.parametrize("failing", [False, True])
def test_a_program_must_initialize_before_it_runs(empty_folder: Path, failing: bool) -> None:
    config = {
        "imports": ["$import lsinet_monai.workflow as workflow"],
        "prepare": "$1 / 0" if failing else "$1",
        "initialize": ["$workflow.start()", "@prepare"],
        "run": "$workflow.check_initialized() and open('trained', 'w').close()",
    }
    Path("own.json").write_text(json.dumps(config))
    workflow = ConfigWorkflow("own.json", workflow_type="train", logging_file=False)
    if failing:
        with pytest.raises(Exception, match="evaluate"):
            workflow.initialize()
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert "call its initialize() before run()" in str(find_input_error(caught.value))
    assert not Path("trained").exists()
    if not failing:
        workflow.initialize()
        workflow.run()
        workflow.run()
        assert Path("trained").exists()

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.workflow.old_ids import OLD_IDS, refuse_old_ids

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"

# The config, an id that a command line overrides, and what the error says.
OVERRIDES = [
    ("train", "shares", "train_clips and val_clips"),
    ("train", "train#sampler", "override sampler"),
    ("train", "train#checkpoint", "override train#state"),
    ("train", "validate#save_model", "override save_model"),
    ("inference", "share", "override rank_clips"),
]


@pytest.mark.parametrize(("config", "old", "said"), OVERRIDES)
def test_an_override_of_an_old_id_is_refused(config: str, old: str, said: str) -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / f"{config}.json"))
    parser.update({old: {"seed": 3}})
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("initialize#0")
    error = find_input_error(caught.value)
    assert str(error).startswith(f"{old} is an id of an earlier version, and has no effect: ") and said in str(error)


def test_no_shipped_config_has_an_old_id() -> None:
    for path in CONFIGS.glob("*.json"):
        parser = ConfigParser(json.loads(path.read_text(encoding="utf-8")))
        assert not [old for old in OLD_IDS if old in parser], path.name


def test_it_finds_the_parser_that_calls_it() -> None:
    parser = ConfigParser({"imports": ["$from lsinet_monai.workflow.old_ids import refuse_old_ids"],
                           "numbers": {}, "check": "$refuse_old_ids()"})  # fmt: skip
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("check")
    assert isinstance(find_input_error(caught.value), InputError)


def test_without_a_config_there_is_nothing_to_refuse() -> None:
    refuse_old_ids()

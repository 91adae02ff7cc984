"""Runs of a small config, called as a command line and as Python call MONAI."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import monai.bundle
import pytest

from lsinet_monai.errors import find_input_error

# Its run writes the values of its keys to seen.json.
CONFIG = {
    "imports": ["$import json", "$import lsinet_monai.workflow as workflow"],
    "input": "data",
    "output_dir": "out",
    "checkpoint": "$@bundle_root + '/models/model.pt'",
    "bundle_root": ".",
    "dataset_dir": "@input",
    "learning_rate": 0.1,
    "threshold": 0.5,
    "part": {"_target_": "builtins.dict", "amp": False, "size": 3},
    "ratio": {"_target_": "fractions.Fraction", "numerator": 1},
    "section": {"number": 1, "list": [1, 2]},
    "seen": {
        "input": "@input",
        "output_dir": "@output_dir",
        "checkpoint": "@checkpoint",
        "dataset_dir": "@dataset_dir",
        "learning_rate": "@learning_rate",
        "threshold": "@threshold",
        "part": "@part",
        "ratio": "$str(@ratio)",
        "section": "@section",
    },
    "initialize": ["$workflow.start()"],
    "run": "$workflow.check_initialized() and open('seen.json', 'w').write(json.dumps(@seen))",
    "writing": "@run",
}


@pytest.fixture
def config(empty_folder: Path) -> Path:
    """A file with the config, in the current folder."""
    path = empty_folder / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.fixture
def command(config: Path) -> Callable[..., dict[str, Any] | str]:
    """Run ``python -m monai.bundle run ...`` in this process: the values that it saw, or the line that ends it."""

    def run(arguments: str, files: str = "config.json") -> dict[str, Any] | str:
        line = ["run", *shlex.split(arguments), "--config_file", files, "--logging_file", "False"]
        return _outcome(lambda: fire.Fire(monai.bundle, line))

    return run


@pytest.fixture
def call(config: Path) -> Callable[..., dict[str, Any] | str]:
    """Call ``monai.bundle.run(...)``: the values that it saw, or the error."""
    return lambda *arguments, **options: _outcome(
        lambda: monai.bundle.run(*arguments, config_file=str(config), logging_file=False, **options)
    )


def _outcome(run: Callable[[], Any]) -> dict[str, Any] | str:
    seen = Path("seen.json")
    seen.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run()
        except Exception as error:
            found = find_input_error(error)
            assert found is not None, repr(error)
            assert "\n" not in str(found) and not seen.exists()
            return str(found)
    return json.loads(seen.read_text())

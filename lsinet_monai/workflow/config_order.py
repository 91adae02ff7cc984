"""The order of config files: an overlay follows the config that it adds to."""

from __future__ import annotations

import re
from pathlib import Path

from monai.bundle import ConfigParser

from lsinet_monai.errors import InputError
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.workflow.call import Call, find_call

__all__ = ["check_order", "extends"]

_EVALUATION, _OF_THE_MODEL = "evaluating", "image_size"
"""A key of evaluate.json alone, and one that it takes from the model, and training overlays from elsewhere."""

_TELLING_KEY = {"train.json": "training", "inference.json": "inference", "stills.json": "stills_held_out"}
"""For each of these configs, a key that no overlay of it has."""


def extends(base: str) -> None:
    """Refuse an overlay that is given without the config that it adds to. Called in the overlay's ``+initialize``.

    Args:
        base: the name of that config: "train.json", "inference.json", or an overlay such as "stills.json".

    Raises:
        InputError: it is not there.
    """
    report_input_errors_in_one_line()
    if call := find_call():
        _require(base, call)


def check_order(call: Call) -> None:
    """Refuse an overlay that stands before the config that it adds to: the config would replace its values.

    Raises:
        InputError: a config file stands before the one with ``initialize``, and shares keys with it; one stands after
            ``evaluate.json``, and replaces the model's ``image_size``; or an overlay adds to another config, see
            :func:`extends`.
    """
    files = [file for file in call.files if Path(file).is_file()]
    loaded = [ConfigParser.load_config_file(file) for file in files]
    contents = [{key.lstrip("+"): key for key in content} for content in loaded]
    base = max((at for at, content in enumerate(contents) if content.get("initialize") == "initialize"), default=0)
    for file, content in zip(files[:base], contents, strict=False):
        if replaced := [key for key in content if key in contents[base]]:
            in_order = [files[base], *files[:base], *files[base + 1 :]]
            raise InputError(
                f"{file} stands before {files[base]}, which replaces its {replaced[-1]}: give {_given(in_order)}"
            )
    evaluation = next((at for at, content in enumerate(contents) if _EVALUATION in content), len(files))
    for file, content in list(zip(files, loaded, strict=True))[evaluation + 1 :]:
        if content.get(_OF_THE_MODEL) not in (None, f"$@model.{_OF_THE_MODEL}"):
            in_order = [other for other in files if other not in (file, files[evaluation])] + [file, files[evaluation]]
            raise InputError(
                f"{file} stands after {files[evaluation]}, and replaces the model's {_OF_THE_MODEL} by its "
                f"{content[_OF_THE_MODEL]}: give {_given(in_order)}, or --{_OF_THE_MODEL} to evaluate at that size"
            )
    # Before the overlays' own calls of extends(): the checks after this one would first report what follows from it.
    for step in call.parser.get("initialize", None) or []:
        if found := re.fullmatch(r"\$workflow\.extends\('(.+)'\)", str(step)):
            _require(found[1], call)
    # MONAI keeps the order in which keys were read, and the first key of the overlays is +initialize.
    if next((key for key in call.parser.get() if key != ConfigParser.meta_key), None) == "initialize":
        raise InputError("an overlay stands before the config that it adds to, and loses its values: put it after")


def _require(base: str, call: Call) -> None:
    if _TELLING_KEY[base] in call.parser:
        return
    if not call.files:
        raise InputError(f"an overlay that adds to {base} is given without it: give {base} first, then the overlay")
    overlay = call.files[-1]
    # An overlay of an overlay needs what stands before it too.
    before = call.files[:-1] if base not in ("train.json", "inference.json") else []
    in_order = [*before, str(Path(overlay).parent / base), overlay]
    raise InputError(f"{overlay} adds to {base}, which is missing: give {_given(in_order)}")


def _given(files: list[str]) -> str:
    """The files as a command line gives them."""
    return '--config_file "[{}]"'.format(",".join(f"'{file}'" for file in files))

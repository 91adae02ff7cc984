"""The call of MONAI that evaluates a config's expression: its workflow, its config files, and the given values."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.reference_resolver import ReferenceResolver
from monai.utils import ensure_tuple

__all__ = ["Call", "find_call", "typed_values"]


@dataclass(frozen=True)
class Call:
    """A call of MONAI, such as ``monai.bundle.run``, as far as it can be known."""

    parser: ConfigParser
    """The parser that evaluates the expression."""
    workflow: ConfigWorkflow | None = None
    """Its workflow; None for the verbs that export a network."""
    config_file: str | Sequence[str] | None = None
    """The config files as given; None if a program made the workflow itself."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Values of config keys and arguments on top of the files: of the command line, ``args_file`` or Python."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """Those of the command line as typed. Fire turns some into numbers and lists, and cuts others at a #."""
    verbs: frozenset[str] = frozenset()
    """The running functions of ``monai.bundle``, such as "run" or "load"."""

    @property
    def files(self) -> list[str]:
        """The config files, in order."""
        return [str(file) for file in ensure_tuple(self.config_file or ())]


def find_call() -> Call | None:
    """Find the call of MONAI that the caller serves. MONAI passes neither parser nor workflow to an expression.

    Returns:
        the call, from the local variables of the running functions; None outside a config.
    """
    frames = list(_frames(sys._getframe(1)))
    parsers = (frame.f_locals.get("self") for frame in frames)
    parser = next((found for found in parsers if isinstance(found, ConfigParser)), None)
    if parser is None:
        return None
    workflow = next(filter(None, (_workflow_of(parser, frame) for frame in frames)), None)
    of_monai = [frame for frame in frames if _is_in(frame, "monai.bundle.scripts")]
    known: dict[str, Any] = {}
    for frame in of_monai:
        local = frame.f_locals
        if local.get("workflow_") is workflow is not None:  # create_workflow
            typed = next((typed_values(frame.f_locals["args"]) for frame in frames if _is_fire(frame)), {})
            nulls = {key: None for key, text in typed.items() if text == "None"}  # which MONAI leaves out
            known = {"config_file": local["config_file"], "given": nulls | _by_id(local["_args"]), "typed": typed}
        elif local.get("parser") is parser:  # a verb that exports or checks a network
            known = {"config_file": local.get("config_file_")}
    return Call(parser, workflow, verbs=frozenset(frame.f_code.co_name for frame in of_monai), **known)


def typed_values(arguments: Sequence[str]) -> dict[str, str]:
    """Read the values of a command line unchanged, paired with keys as Fire pairs them.

    Args:
        arguments: the words of the command line, such as ``["run", "inference", "--input", "case3#2.mp4"]``.

    Returns:
        the values by key; a key without a value is left out.
    """
    found = {}
    at = 0
    while at < len(arguments):
        word, following = arguments[at], arguments[at + 1 : at + 2]
        at += 1
        if not _is_flag(word):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals and following and not _is_flag(following[0]):
            value = following[0]
            at += 1
        elif not equals:
            continue
        found[ReferenceResolver.normalize_id(key.replace("-", "_"))] = value
    return found


def _is_flag(word: str) -> bool:
    return word.startswith("--") or bool(re.match("-[a-zA-Z]", word))


def _by_id(values: Mapping[str, Any]) -> dict[str, Any]:
    return {ReferenceResolver.normalize_id(key): value for key, value in values.items()}


def _frames(frame: FrameType | None) -> Sequence[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _is_in(frame: FrameType, module: str) -> bool:
    return frame.f_globals.get("__name__") == module


def _is_fire(frame: FrameType) -> bool:
    return _is_in(frame, "fire.core") and frame.f_code.co_name == "Fire"


def _workflow_of(parser: ConfigParser, frame: FrameType) -> ConfigWorkflow | None:
    """The parser's workflow, if a local variable holds it."""
    for value in frame.f_locals.values():
        # Not isinstance(), which makes lazy objects of libraries load.
        if issubclass(type(value), ConfigWorkflow) and vars(value).get("parser") is parser:
            return value
    return None

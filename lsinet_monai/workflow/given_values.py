"""Values given with the config files: read null and switches as people mean them, and take paths literally."""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigExpression, ConfigItem, ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver

from lsinet_monai.errors import InputError
from lsinet_monai.workflow.call import Call

__all__ = ["PATH_KEYS", "expand_home", "read_given_values"]

PATH_KEYS = (
    "bundle_root",
    "input",
    "dataset_dir",
    "negative_dir",
    "stills_dir",
    "stills_held_out",
    "encoder_weights",
    "features_dir",
    "checkpoint",
    "model_file",
    "output_dir",
    "filepath",
)
"""The keys of the shipped configs whose values are paths."""

_NEEDED = ("bundle_root", "input", "model_file", "output_dir", "filepath")
_MAY_BE_EMPTY = ("dataset_dir", "features_dir")  # the guide says what they mean then

_SEP = ReferenceResolver.sep
_REFERENCE = "_reference"


def read_given_values(call: Call) -> None:
    """Give the keys of a parsed config the values that a person meant.

    - ``None`` and ``null`` mean no value. MONAI ignores ``None``, and reads ``null`` as text.
    - ``true`` and ``false`` for a component's argument, such as ``evaluator#amp``, become booleans, because a class
      would take the text "false" as true. Keys at the top of our configs accept the texts.
    - The values of :data:`PATH_KEYS` are taken as typed, except that ``~`` at the start is expanded. Fire turns some
      into numbers and lists, and cuts others at a ``#``; MONAI reads ``#`` as ``::``, and evaluates what begins with
      ``$`` or ``@``. A value stays an expression or a reference only if it is a valid one and no such file exists.
      Values in config files change only at ``~``. An empty text is not a path.

    MONAI reads a ``%`` at the start of a value before any code of this package runs, and ends if it names no key. If it
    does, an existing file of this name is meant.

    Raises:
        InputError: a path that a run needs has no value, a path is empty that has no meaning then, or a path of a
            ``ConfigWorkflow`` made in Python may have had a ``#``.
    """
    for key, value in call.given.items():
        if value in (None, "null", "true", "false") and key in call.parser and not _is_existing_path(key, call):
            if value in (None, "null"):
                if key in _NEEDED:
                    raise InputError(f"{key}={value}: a path is needed; leave the key out to take the usual one")
                _set(call.parser, key, None)
            elif _SEP in key:
                _set(call.parser, key, value == "true")
    for key in PATH_KEYS:
        if key in call.parser.get() and key not in call.parser.ref_resolver.resolved_content:
            _read_path(key, call)


def expand_home(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a ``~`` at the start of the values of path keys by the user's folder."""
    return {
        key: os.path.expanduser(value) if key in PATH_KEYS and isinstance(value, str) else value
        for key, value in values.items()
    }


def _is_existing_path(key: str, call: Call) -> bool:
    return key in PATH_KEYS and os.path.exists(call.typed.get(key, ""))


def _read_path(key: str, call: Call) -> None:
    parser = call.parser
    value = parser.get()[key]
    is_given = key in call.given
    if is_given and value is not None:
        value = _as_typed(call.typed.get(key), call.given[key], value)
        if isinstance(value, (dict, list)) and str(call.given[key]).startswith("%"):
            raise InputError(
                f"{key}={call.given[key]!r}: % at the start means a key of the config, and this one has no path; "
                f"for a file write './{call.given[key]}'"
            )
    elif isinstance(value, str) and "::" in value and value[0] not in "$@":
        value = _as_in_file(key, value, call)
    if value == "" and key not in _MAY_BE_EMPTY:
        raise InputError(f"{key} is empty: a path is needed; leave the key out to take the usual one")
    if isinstance(value, str) and not _is_config_syntax(value, parser, is_given):
        _set(parser, key, os.path.expanduser(value))


def _as_in_file(key: str, parsed: str, call: Call) -> str:
    """A path with ``::``, which MONAI may have made of a ``#``.

    Raises:
        InputError: it cannot be known, because a program gave the value to a ``ConfigWorkflow``.
    """
    if call.config_file is not None:
        value = ConfigParser.load_config_files(call.config_file).get(key)
        return value if isinstance(value, str) and not value.startswith("%") else parsed
    found = [path for path in (parsed, parsed.replace("::", "#")) if os.path.exists(path)]
    if not found:
        raise InputError(f"{key} '{parsed}' does not exist, and may have had a # that MONAI reads as '::': rename it")
    return found[0]


def _as_typed(typed: str | None, given: Any, parsed: Any) -> Any:
    """The value of a key on top of the config files.

    Args:
        typed: the text on the command line; None if it has no such text.
        given: what Fire made of it, or the value given in Python.
        parsed: what MONAI made of that.
    """
    if isinstance(given, str) and given.startswith("%") and not os.path.exists(given):
        return parsed
    if typed is None:
        return given
    # Quotes inside the shell's quotes are Fire's way to give text as text.
    is_quoted = len(typed) > 1 and typed[0] == typed[-1] and typed[0] in "'\""
    return given if is_quoted and not os.path.exists(typed) else typed


def _is_config_syntax(value: str, parser: ConfigParser, is_given: bool) -> bool:
    """Whether a value is a reference to a key, or an expression that can give a path."""
    if value[:1] not in ("$", "@"):
        return False
    if not is_given:
        return True
    if os.path.exists(value):
        return False
    references = ReferenceResolver.match_refs_pattern(value)
    known = [reference for reference in references if reference and reference in parser]
    if value.startswith("@"):
        return bool(known)
    code = ReferenceResolver.id_matcher.sub(_REFERENCE, ReferenceResolver.normalize_id(value[1:]))
    try:
        nodes = list(ast.walk(ast.parse(code.strip(), mode="eval")))
    except (SyntaxError, ValueError):
        return False
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    gives_text = any(
        isinstance(node, ast.Call) or (isinstance(node, ast.Constant) and isinstance(node.value, str)) for node in nodes
    )
    return (bool(known) or gives_text) and names <= {_REFERENCE, *defined, *parser.globals, *vars(builtins)}


def _set(parser: ConfigParser, key: str, value: Any) -> None:
    """Set a key of a parsed config to a value that is taken literally, also when the config is parsed again."""
    if isinstance(value, str) and ("#" in value or value[:1] in ("$", "@", "%")):
        value = "$" + repr(value).replace("#", r"\x23").replace("@", r"\x40")
    section, _, name = key.rpartition(_SEP)
    part = parser[section]
    part[name if isinstance(part, dict) else int(name)] = value
    is_expression = ConfigExpression.is_expression(value)
    item = ConfigExpression(value, key, parser.globals) if is_expression else ConfigItem(value, key)
    parser.ref_resolver.items[key] = item

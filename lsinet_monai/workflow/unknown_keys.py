"""Runs and keys that do not exist: refuse them, and name the nearest ones that do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, ConfigWorkflow, create_workflow
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS, MERGE_KEY

from lsinet_monai.errors import InputError
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.workflow.call import Call, find_call
from lsinet_monai.workflow.given_values import PATH_KEYS

__all__ = ["check_initialized", "check_keys", "check_overlays", "check_run", "find_runs"]

_SEP = ReferenceResolver.sep

_BASES = ("train.json", "inference.json")
"""The shipped configs that the others add to."""

_STEPS = ("imports", "bundle_root", "join_ranks", "initialize", "prepare", "finalize")
"""Parts of a run that cannot be run alone, by their names in MONAI's configs and in ours."""

_FINAL_ID = "finalize"
"""MONAI's default, which a config need not have."""


def check_run(call: Call) -> None:
    """Refuse a run that does not exist. MONAI builds whatever part of the config has the name, and ends.

    Raises:
        InputError: the id to run is neither a run of the config, see :func:`find_runs`, nor "run"; or it refers to a
            text, as ``--run training`` in place of ``--run_id training`` makes it.
    """
    if call.workflow is None:
        return
    run_id = ReferenceResolver.normalize_id(call.workflow.run_id)
    runs = find_runs(call.parser)
    if run_id in runs or (run_id == "run" and run_id in call.parser):
        _check_action(run_id, call.parser)
        return
    elsewhere = "" if run_id in call.parser else _where_else(run_id)
    hint = elsewhere or _near(run_id, runs, 0.6) or f"there are {', '.join(runs)}"
    raise InputError(f"no such run: {run_id.replace(_SEP, '#')} in {_name_files(call)}; {hint}")


def _check_action(run_id: str, parser: ConfigParser) -> None:
    value, seen = parser.get()[run_id], {run_id}
    while isinstance(value, str) and value.startswith("@") and value[1:] in parser:
        run_id, value = value[1:], parser[value[1:]]
        if run_id in seen:
            raise InputError(f"{run_id} refers to itself, and runs nothing; --run_id says what to run")
        seen.add(run_id)
    if not _is_action(value):
        raise InputError(f"{run_id}={value!r} runs nothing: leave it out; --run_id says what to run")


def find_runs(parser: ConfigParser) -> list[str]:
    """Find the ids that a person can run: expressions or components that no other part of the config needs.

    A reference alone (``"training": "@run"``) or alone in a list names a run, and does not need it. What the shipped
    configs need is never a run, even if an overlay no longer needs it.
    """
    config = parser.get()
    needed = _needed(config)
    for path in map(_shipped, _BASES):
        needed |= _needed(ConfigParser.load_config_file(path))
    return [key for key, value in config.items() if key not in _STEPS and key not in needed and _is_action(value)]


def check_keys(call: Call) -> None:
    """Refuse given keys that would have no effect, because the config files lack them and nothing refers to them.

    Keys that the files have are known, and so are the arguments of MONAI, the keys of its ``--tracking``, keys that
    some part of the config refers to, and arguments that a component takes, such as ``optimizer#betas``.

    Raises:
        InputError: a key is not known.
    """
    if not call.given:
        return
    base = ConfigParser(ConfigParser.load_config_files(call.config_file or {}))
    arguments = _arguments(ConfigWorkflow) | _arguments(create_workflow)
    tracking = _tracking_keys(call.given.get("tracking"))
    known = arguments | tracking | _referred(call.parser.get()) | _macros([base.get(), *call.given.values()])
    others = [key for key in call.given if not (key in base or key in known)]
    taken = {key: _arguments_of_component(key, call.parser) for key in others}
    unknown = [
        key
        for key, names in taken.items()
        if not (_is_part(key, base) if names is None else key.rpartition(_SEP)[2] in names)
    ]
    if unknown:
        hints = [_hint(key, base, arguments, taken[key]) for key in unknown]
        names = [
            key.replace(_SEP, "#") + (f" ({hint})" if hint else "") for key, hint in zip(unknown, hints, strict=True)
        ]
        way_out = "" if all(hints) else ": leave it out, or add the config file that has it"
        # Fire takes "-x.mp4" for a key, and the key before it for a switch.
        without_value = [key for key in PATH_KEYS if call.given.get(key) is True]
        if not all(hints) and (without_value or any("." in key for key in unknown)):
            key = without_value[0] if without_value else "input"
            way_out = f": if it is a file, write ./ before its name, or --{key}=NAME"
        raise InputError(f"no key {', no key '.join(names)} in {_name_files(call)}{way_out}")


def check_overlays(call: Call) -> None:
    """Refuse a key of a config file that nothing uses, if a file before it has a key of nearly this name.

    Other keys that nothing uses are a person's own: comments, names that begin with _, a known name with a part before
    or behind it, such as learning_rate_old, and at the top what could be run.

    Raises:
        InputError: a key looks like a typing error.
    """
    files = [file for file in call.files if Path(file).is_file()]
    referred = _referred(call.parser.get())
    for count, file in enumerate(files[1:], start=1):
        content = ConfigParser.load_config_file(file)
        base = ConfigParser(ConfigParser.load_config_files(files[:count]))
        known = referred | _macros([base.get(), content])
        for key, value in _changed_keys(content):
            section, _, name = key.rpartition(_SEP)
            if key in base or key in known or (not section and _is_action(value)):
                continue
            names = _names_in(section, base, _arguments_of_component(key, base))
            is_own = name.startswith("_") or any(name.startswith(f"{n}_") or name.endswith(f"_{n}") for n in names)
            if name not in names and not is_own and (hint := _near(name, names, 0.8)):
                raise InputError(f"{key.replace(_SEP, '#')} in {file} changes nothing: {hint}")


def _names_in(section: str, base: ConfigParser, arguments: set[str] | None) -> list[str]:
    """The names that a key of a section may have; none in a component that takes any argument, and in a list."""
    if arguments is not None:
        return [*arguments]
    part = base.get(section, {})
    return [*part] if isinstance(part, dict) and "_target_" not in part else []


def _changed_keys(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys that a config file sets, with their values; of a dictionary that it adds to, the parts."""
    for key, value in content.items():
        name = ReferenceResolver.normalize_id(key)
        if name.startswith(MERGE_KEY) and isinstance(value, dict):
            yield from ((f"{name[1:]}{_SEP}{part}", item) for part, item in value.items())
        else:
            yield name.removeprefix(MERGE_KEY), value


def _hint(key: str, base: ConfigParser, arguments: Collection[str], taken: Collection[str] | None) -> str:
    section = key.rpartition(_SEP)[0]
    own = taken if taken is not None else base[section] if section else ()
    names = [f"{section}{_SEP}{name}" for name in own] if section else [*base.get(), *arguments]
    return _where_else(key) or _near(key, names, 0.7)


def check_initialized() -> bool:
    """Refuse a run without ``initialize``, which checks values and the output folder. Called in a run's expression.

    MONAI silently skips ``initialize`` or ``finalize`` if another id is given for it. Fire reads the second and third
    word of an unquoted path with spaces as these ids.

    Returns:
        True.

    Raises:
        InputError: the config lacks an id that is given, or a program has not called ``initialize()``, or has called it
            in vain.
    """
    call = find_call()
    if call is not None and call.workflow is not None:
        for name in (call.workflow.init_id, call.workflow.final_id):
            if name != _FINAL_ID and name not in call.parser:
                report_input_errors_in_one_line()
                raise InputError(f"{name!r} belongs to no key: put quotes around a value with spaces, or leave it out")
        # MONAI keeps what the steps refer to, not the steps themselves.
        steps = call.parser.get(call.workflow.init_id) or []
        built = call.parser.ref_resolver.resolved_content
        if any(step[1:] not in built for step in steps if isinstance(step, str) and step[:1] == "@"):
            report_input_errors_in_one_line()
            raise InputError("the workflow is not initialized: call its initialize() before run()")
    return True


def _referred(config: Any) -> set[str]:
    """The ids that a config refers to, and the sections that they are in."""
    return {
        part
        for text, _ in _texts(config)
        for reference in ReferenceResolver.match_refs_pattern(text)
        for part in (reference, reference.partition(_SEP)[0])
    }


def _macros(config: Any) -> set[str]:
    """The ids that a config copies with a %."""
    return {ReferenceResolver.normalize_id(text[1:]) for text, _ in _texts(config) if text.startswith("%")}


def _needed(config: Mapping[str, Any]) -> set[str]:
    """The ids that a config refers to other than to run them."""
    return {
        reference
        for key, value in config.items()
        for text, is_whole in _texts(value)
        for reference in ReferenceResolver.match_refs_pattern(text)
        if key in _STEPS or not is_whole or text != f"@{reference}"
    }


def _texts(value: Any, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """The texts in a value, and for each whether it is the whole value or a whole element of a list."""
    if isinstance(value, str):
        yield value, depth < 2
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item, 2)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)


def _is_action(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_action, value))
    return "_target_" in value if isinstance(value, dict) else isinstance(value, str) and value[:1] in ("$", "@")


def _is_part(key: str, base: ConfigParser) -> bool:
    """Whether a key is part of a component, a list or the metadata, which may have parts that the files do not name."""
    top, *names = key.split(_SEP)
    return bool(names) and (len(names) > 1 or not isinstance(base.get(top), dict) or "_target_" in base.get(top))


def _arguments_of_component(key: str, parser: ConfigParser) -> set[str] | None:
    """The arguments of the component that a key is part of; None outside a component, or if it takes any argument."""
    section = key.rpartition(_SEP)[0]
    config = parser.get(section) if section else None
    if not isinstance(config, dict) or not ConfigComponent.is_instantiable(config):
        return None
    target = ConfigComponent(config, section, parser.locator).resolve_module_name()
    try:
        function: Any = locate(target) if isinstance(target, str) else target
        parameters = inspect.signature(function).parameters.values()
    except (ErrorDuringImport, TypeError, ValueError):  # the class does not exist, or has no signature
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {*ConfigComponent.non_arg_keys, *(parameter.name for parameter in parameters)}


def _arguments(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}


def _tracking_keys(tracking: Any) -> set[str]:
    if tracking is None:
        return set()
    if isinstance(tracking, str) and tracking in DEFAULT_EXP_MGMT_SETTINGS:
        return set(DEFAULT_EXP_MGMT_SETTINGS[tracking]["configs"])
    return set(ConfigParser.load_config_files(tracking).get("configs", {}))


def _near(name: str, names: Collection[str], cutoff: float) -> str:
    """Ask whether one of the nearest names was meant; empty if none is near."""
    found = [near.replace(_SEP, "#") for near in get_close_matches(name, names, cutoff=cutoff)]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _where_else(name: str) -> str:
    """The shipped config that has a key which the given files do not have; empty if none has it."""
    overlays = sorted(path.name for path in _shipped("").glob("*.json"))
    has = (file for file in (*_BASES, *overlays) if name in ConfigParser.load_config_file(_shipped(file)))
    found = next(has, None)
    return f"it is in {found}" if found else ""


def _shipped(file: str) -> Path:
    return shipped_folder("bundle") / "configs" / file


def _name_files(call: Call) -> str:
    return ", ".join(call.files) or "the config"

"""Run one config in one process many times, each time on another input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow

from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.workflow.given_values import expand_home

__all__ = ["run_with"]


def run_with(workflow: ConfigWorkflow, **content: Any) -> None:
    """Run a workflow with other values for some keys of its config, and keep everything that does not depend on them.

    Setting a property of a ``ConfigWorkflow`` makes MONAI parse the config and build everything again, the network
    too. Without setting it, a run uses the objects that were built for the run before (MONAI's issue 8134). This
    function builds the objects that refer to a given key, directly or not, for this run only, and drops them after it,
    also after an error. Every other object is built once, by ``workflow.initialize()`` or by the first run that needs
    it: with ``input`` and ``output_dir`` of ``bundle/configs/inference.json`` these are the network and the inferer.
    The config is not parsed again.

    The values hold for this run only. They may come from a request, because ``$`` and ``@`` in them have no meaning; a
    ``~`` at the start of a path is the user's folder. The workflow's ``initialize`` and ``run`` are evaluated with all
    their checks; ``finalize`` is not. Runs of one workflow must not overlap.

    Args:
        workflow: a workflow whose config has ``initialize`` and ``run``; it may be initialized already.
        content: values by the names of keys at the top of the config.

    Raises:
        InputError: the config has no such key, or the run meets bad input. Other errors pass unchanged.
    """
    parser = workflow.parser
    unknown = [key for key in content if key not in parser.get()]
    if unknown:
        raise InputError(f"{unknown[0]}={content[unknown[0]]!r}: the workflow's config has no key of this name")
    if not parser.ref_resolver.items:
        parser.parse()
    expressions = (workflow.init_id, workflow.run_id)
    made_for_this_run = _dependents(parser, [*content, *expressions])
    _forget(parser, made_for_this_run)
    parser.ref_resolver.resolved_content.update(expand_home(content))
    try:
        # Not workflow.run(), which puts the bundle's folder on sys.path once more each time.
        for expression in expressions:
            parser.get_parsed_content(expression)
    except Exception as error:
        if found := find_input_error(error):
            raise InputError(str(found)) from error
        raise
    finally:
        _release_engines(parser, made_for_this_run)
        _forget(parser, made_for_this_run)


def _dependents(parser: ConfigParser, ids: Iterable[str]) -> set[str]:
    """The ids of these items, of all items that refer to one of them, directly or not, and of the items inside them."""
    resolver = parser.ref_resolver
    needs = {
        item: {item.rpartition(resolver.sep)[0], *resolver.find_refs_in_config(parser[item], item)}
        for item in resolver.items
        if item
    }
    found = set(ids)
    while more := {item for item, needed in needs.items() if item not in found and not found.isdisjoint(needed)}:
        found |= more
    return found


def _forget(parser: ConfigParser, ids: Iterable[str]) -> None:
    """Reset items to the config, because the resolver replaces the references in an item by their values."""
    for item in ids:
        parser.ref_resolver.remove_resolved_content(item)
        parser.ref_resolver.items[item].update_config(parser[item])


def _release_engines(parser: ConfigParser, ids: Iterable[str]) -> None:
    """Release the objects that engines hold, above all the tensors of their last batch.

    An engine refers to itself, so only a full run of the garbage collector frees it. With few objects and large tensors
    that may take hundreds of runs, and forcing one after each run takes as long as a short clip.
    """
    for item in ids:
        engine = parser.ref_resolver.resolved_content.get(item)
        if isinstance(engine, Engine):
            vars(engine).clear()

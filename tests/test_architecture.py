"""The floor plan holds: imports go downwards only, modules are short, tested next door, and nothing is written twice.

CONTRIBUTING.md says which room has which job.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lsinet_monai"
APP = ROOT / "apps" / "lsinet_label"

# From top to bottom. A room imports from the floors below it, and from its neighbours if that makes no circle.
FLOORS = [
    {"__main__"},
    {"archive"},
    {"workflow"},
    {"handlers"},
    {"evaluation"},
    {"writers"},
    {"export"},
    {"inferers", "optimizers"},
    {"networks"},
    {"metrics", "formats"},
    {"transforms", "losses"},
    {"data"},
    {"masks", "ops", "csrc"},
    {"utils", "errors", "version"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

LONGEST = 350
LONG_MODULES = {
    "lsinet_monai/csrc/deform_conv_cpu_kernels_impl.h",
    "lsinet_monai/csrc/deform_conv_cuda.cu",
}
"""Kernels and tables."""

TESTS = {PACKAGE: ROOT / "tests", APP / "lib": ROOT / "tests" / "apps" / APP.name}
"""Folders of modules, each with the folder that mirrors it: ``a/b.py`` has its tests in ``a/test_b.py``."""

TESTED_ELSEWHERE = {
    "lsinet_monai/__main__.py",  # in test_main.py
}

SUFFIXES = {".py", ".js", ".css", ".html", ".cpp", ".cu", ".h"}
EQUAL_LINES = 10


def _modules(*folders: Path, suffixes: set[str]) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in suffixes and path.is_file() and not {"__pycache__", "bin"} & set(path.parts)
    )


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _full_name(path: Path) -> str:
    """The name by which a file is imported; for an ``__init__.py`` that of its package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_full_name(path): path for path in _modules(PACKAGE, suffixes={".py"})}
"""The package's files by the names of their modules."""


def _room(module: str) -> str | None:
    """The room of a module's full name; None for the package itself and for modules outside it."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE.name and len(parts) > 1 else None


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """The full names of the modules that a file imports, also within its functions."""
    return tuple(_find_imports(path))


def _find_imports(path: Path) -> Iterator[str]:
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield name if name in MODULES else module


def _rooms() -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, path in MODULES.items():
        room = _room(module)
        if room is not None:
            found[room] |= {other for name in _imports(path) if (other := _room(name)) is not None} - {room}
    return found


def test_every_room_has_a_floor() -> None:
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} <= {
        *FLOOR,
        "__init__",
    }


def test_imports_go_downwards() -> None:
    upwards = {(room, other) for room, others in _rooms().items() for other in others if FLOOR[other] < FLOOR[room]}
    assert upwards == set()


def test_rooms_import_in_no_circle() -> None:
    TopologicalSorter(_rooms()).prepare()  # raises CycleError


def test_modules_import_in_no_circle() -> None:
    """``__init__`` files and imports within functions count too. So no module imports from its own package."""
    TopologicalSorter({module: set(_imports(path)) & MODULES.keys() for module, path in MODULES.items()}).prepare()


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize("folder", ["lsinet_monai", "apps", "experiments", "benchmarks", "scripts", "examples"])
def test_only_operators_reach_the_kernels(folder: str) -> None:
    reaching = {
        _name(path)
        for path in _modules(ROOT / folder, suffixes={".py"})
        if any(_room(module) == "csrc" for module in _imports(path))
    }
    assert {name for name in reaching if not name.startswith("lsinet_monai/ops/")} == set()


def test_modules_are_short() -> None:
    lengths = {_name(path): len(path.read_bytes().splitlines()) for path in _modules(PACKAGE, APP, suffixes=SUFFIXES)}
    assert {name: length for name, length in lengths.items() if length > LONGEST and name not in LONG_MODULES} == {}


def _has_code(path: Path) -> bool:
    """Whether a module defines a function or a class."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in body)


@pytest.mark.parametrize(("folder", "tests"), TESTS.items(), ids=_name)
def test_every_module_has_tests_of_its_own(folder: Path, tests: Path) -> None:
    missing = {
        _name(path)
        for path in _modules(folder, suffixes={".py"})
        if path.name != "__init__.py" and _has_code(path)
        if not (tests / path.relative_to(folder).with_name(f"test_{path.name}")).exists()
    }
    assert missing == {name for name in TESTED_ELSEWHERE if (ROOT / name).is_relative_to(folder)}


def _lines(path: Path) -> list[tuple[int, str]]:
    """A file's lines by their numbers, stripped, without blank ones, imports, and lists of exports."""
    text = path.read_text(encoding="utf-8")
    skipped: set[int] = set()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            is_export = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            if _is_import(node) or is_export:
                skipped.update(range(node.lineno, node.end_lineno + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [
        (number, line) for number, line in lines if line and number not in skipped and not line.startswith("import")
    ]


def test_nothing_is_written_twice() -> None:
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    # The kernels for CPUs and GPUs have the same structure, so that each explains the other.
    for path in _modules(PACKAGE, APP, suffixes={".py", ".js", ".css", ".html"}):
        lines = _lines(path)
        for at in range(len(lines) - EQUAL_LINES):
            window = lines[at : at + EQUAL_LINES + 1]
            places[tuple(line for _, line in window)].append(f"{_name(path)}:{window[0][0]}")
    twice = sorted(found for found in places.values() if len(found) > 1)
    assert twice == []

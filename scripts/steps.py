"""The steps of the demos: commands of the documentation, printed before they run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> None:
    """Print a command, run it from the repository's root, and stop the demo if it fails."""
    print(f"\n$ {shlex.join(('python', '-m', *arguments))}", flush=True)
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT)
    if result.returncode:
        sys.exit(result.returncode)


def bundle(verb: str, *configs: str, **options: str | int | float) -> None:
    """Run a verb of the bundle with its configs."""
    files = [f"bundle/configs/{config}.json" for config in configs]
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    run("monai.bundle", "run", verb, "--config_file", str(files) if len(files) > 1 else files[0], *flags)

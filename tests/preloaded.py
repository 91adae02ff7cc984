"""Programs in processes of their own that do not wait for PyTorch and MONAI, which take long to import.

One process imports them, and forks for every program. A fork ends as any Python process does: with Python's hooks for
errors, and the exit status of a signal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_module(name: str) -> str:
    """The program of ``python -m NAME``."""
    return f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"


BUNDLE = run_module("monai.bundle")

SERVER = '''
import gc, json, os, sys
sys.modules["triton"] = None  # no program needs it, and it complains at the end about objects that are frozen
import monai.bundle, torch.distributed
import lsinet_monai.evaluation, lsinet_monai.handlers, lsinet_monai.workflow


def fork(jobs):
    """Return the job of this process if it is a fork; None in the one that forks, after all forks have ended."""
    forks = []
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            return job
        forks.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forks]
    print(json.dumps(codes), flush=True)

gc.freeze()  # else a fork would look through all that is imported, which takes seconds, when it ends
job = None
while job is None:
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    job = fork(json.loads(line))
os.chdir(job["folder"])
os.environ.clear()
os.environ.update(job["environment"])
for number, (name, mode) in enumerate([(os.devnull, "rb"), (job["stdout"], "wb"), (job["stderr"], "wb")]):
    with open(name, mode) as file:
        os.dup2(file.fileno(), number)
sys.argv = ["-c", *job["arguments"]]
exec(compile(job["text"], "<string>", "exec"))
'''


class Preloaded:
    """Runs programs, in one thread, in forks of a process that has imported PyTorch, MONAI and the package."""

    def __init__(self) -> None:
        # Look for GPUs without initialising CUDA, which a fork could not do again.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        command = [sys.executable, "-c", SERVER]
        self._server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """End the process."""
        self._server.communicate()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the current folder, as ``python -c PROGRAM ARGUMENTS``."""
        return self._run(program, arguments, [{}])[0]

    def run_ranks(self, count: int, program: str, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
        """Run a program in several ranks, which meet as those that ``torchrun --nproc_per_node COUNT`` starts."""
        from torch.distributed import TCPStore

        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        shared = {
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0",
        }
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
        return self._run(program, arguments, ranks)

    def _run(
        self, program: str, arguments: Sequence[str], environments: Sequence[Mapping[str, str]]
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run a program once with each of some further environments, all at the same time."""
        with tempfile.TemporaryDirectory() as folder:
            jobs = [
                {
                    "text": program,
                    "arguments": arguments,
                    "folder": os.getcwd(),
                    "environment": {**os.environ, "OMP_NUM_THREADS": "1", **environment},
                    "stdout": f"{folder}/{number}.out",
                    "stderr": f"{folder}/{number}.err",
                }
                for number, environment in enumerate(environments)
            ]
            assert self._server.stdin and self._server.stdout
            self._server.stdin.write(json.dumps(jobs) + "\n")
            self._server.stdin.flush()
            codes = json.loads(self._server.stdout.readline())
            return [
                subprocess.CompletedProcess(
                    arguments, code, Path(str(job["stdout"])).read_text(), Path(str(job["stderr"])).read_text()
                )
                for code, job in zip(codes, jobs, strict=True)
            ]

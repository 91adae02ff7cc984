from __future__ import annotations

import os
import subprocess
import sys

import ignite.distributed as idist
import pytest
import torch
import torch.distributed as dist

from lsinet_monai.errors import InputError
from lsinet_monai.utils import distributed
from tests.preloaded import Preloaded

# What two ranks exchange.
EXCHANGE = """
import os
import ignite.distributed as idist
import torch
from torch import nn
from lsinet_monai.utils import distributed

distributed.join()
rank = int(os.environ["RANK"])
network = nn.BatchNorm1d(1)
network.running_mean += rank
distributed.broadcast_buffers(network)
seen = [
    idist.get_world_size(),
    distributed.gather({"rank": rank}),
    distributed.gather(torch.ones(1) * rank),
    distributed.average(torch.tensor([1.0, 2.0 + 2 * rank])).tolist(),
    distributed.collect({f"video{rank}": "cannot be read"}),
    distributed.local_batch_size(8),
    network.running_mean.tolist(),
]
distributed.agree()
print(seen)
distributed.leave()
"""

# Ranks share a network with weights that no loss reaches, as HRNet has them, and take three steps.
UNREACHED = """
import os
import torch
from torch import nn
from lsinet_monai.utils import distributed

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.reached, self.unreached = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x):
        return self.reached(x)

distributed.join()
network = Network()
shared = distributed.share_network(network, "cpu")
for step in range(3):
    network.zero_grad()
    shared(torch.full((1, 1), step + 2.0 * int(os.environ["RANK"]))).sum().backward()
    print(network.reached.weight.grad.item(), network.unreached.weight.grad)
distributed.leave()
"""

# Both ranks fail, before they agree to begin; or the second one after that.
FAILURES = {
    "both": "distributed.join(); raise InputError('no such folder')",
    "second": "distributed.join(); distributed.agree()\n"
    "if int(os.environ['RANK']): raise InputError('a damaged frame')\n"
    "distributed.collect({})",
}


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be one of a number of ranks."""
    return lambda count: monkeypatch.setattr(idist, "get_world_size", lambda: count)


def _torchrun(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in two ranks, on the CPU."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    file = "import sys; exec(sys.argv[1])"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--no-python"]
    return subprocess.run(
        [*command, sys.executable, "-c", file, program], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(("batch_size", "count", "local"), [(8, 1, 8), (8, 2, 4), (8, 8, 1)])
def test_local_batch_size(ranks, batch_size: int, count: int, local: int) -> None:
    ranks(count)
    assert distributed.local_batch_size(batch_size) == local


@pytest.mark.parametrize(("batch_size", "count", "next_one"), [(8, 3, 9), (1, 2, 2), (5, 4, 8)])
def test_a_batch_that_cannot_be_shared(ranks, batch_size: int, count: int, next_one: int) -> None:
    ranks(count)
    with pytest.raises(InputError, match=f"batch_size={batch_size} .*{count}.*batch_size={next_one}$"):
        distributed.local_batch_size(batch_size)


def test_alone_nothing_is_exchanged() -> None:
    values = torch.tensor([1.0, 3.0])
    average = distributed.average(values)
    assert average.tolist() == [1, 3] and average is not values
    assert distributed.gather("x") == ["x"]


def test_only_torchrun_starts_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="start them by torchrun --nproc_per_node N"):
        distributed.join()


def test_batchnorm_that_cannot_be_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.check_sync_batchnorm(False, "cpu")
    with pytest.raises(InputError, match=r"^sync_batchnorm=true needs several processes: .*multi_gpu_train\.json"):
        distributed.check_sync_batchnorm(True, "cuda")
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    distributed.check_sync_batchnorm(True, "cuda:1")
    with pytest.raises(InputError, match=r"^sync_batchnorm=true needs GPUs, and device is 'cpu': leave it out"):
        distributed.check_sync_batchnorm(True, "cpu")


@pytest.mark.slow
def test_two_ranks_exchange_values(preloaded: Preloaded) -> None:
    ranks = preloaded.run_ranks(2, EXCHANGE)
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.stderr[-3000:] for rank in ranks]
    gathered = "[{'rank': 0}, {'rank': 1}], [tensor([0.]), tensor([1.])], [1.0, 3.0]"
    failed = ["{'video0': 'cannot be read', 'video1': 'cannot be read'}", "{}"]
    assert [rank.stdout for rank in ranks] == [f"[2, {gathered}, {videos}, 4, [0.0]]\n" for videos in failed]


@pytest.mark.slow
def test_ranks_share_a_network_with_weights_that_no_loss_reaches(preloaded: Preloaded) -> None:
    ranks = preloaded.run_ranks(2, UNREACHED)
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.stderr[-3000:] for rank in ranks]
    assert [rank.stdout for rank in ranks] == ["1.0 None\n2.0 None\n3.0 None\n"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(("failure", "said"), [("both", "no such folder"), ("second", "a damaged frame")])
def test_an_error_is_reported_once_and_ends_all_ranks(preloaded: Preloaded, failure: str, said: str) -> None:
    program = (
        "import os\nfrom lsinet_monai.errors import InputError\nfrom lsinet_monai.utils import distributed\n"
        "from lsinet_monai.utils.error_line import report_input_errors_in_one_line\n"
        f"report_input_errors_in_one_line()\n{FAILURES[failure]}"
    )
    # If one rank alone fails, torchrun ends the other one.
    results = preloaded.run_ranks(2, program) if failure == "both" else [_torchrun(program)]
    assert all(result.returncode != 0 for result in results)
    lines = "".join(result.stderr for result in results)
    assert lines.count(f"error: {said}\n") == 1, lines[-3000:]


def test_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "available_cores", lambda: 7)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert distributed.local_cores() == 7
    for processes, cores in [("2", 3), ("8", 1)]:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert distributed.local_cores() == cores

"""An interrupted training resumes as if it had never stopped, or one line says why it cannot."""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.errors import find_input_error
from lsinet_monai.handlers import model_saver
from lsinet_monai.losses import LSINetLoss
from tests.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "bundle" / "configs" / "train.json"
# Three steps an epoch; stochastic depth draws from PyTorch's generator in each of them.
OPTIONS: dict[str, Any] = {"output_dir": "out", "model_file": "model.pt", "max_epochs": 3, "drop_path_rate": 0.5}


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """The values of a training in TensorBoard, by step. If two runs have the same step, the later one counts."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.*"), key=lambda path: path.stat().st_mtime):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, {}).update({event.step: event.value for event in events.Scalars(tag)})
    return found


def refusal(run: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(Exception) as caught:
        run("training", **{**OPTIONS, **options})
    error = find_input_error(caught.value)
    assert error is not None and "\n" not in str(error), caught.value
    return str(error)


@pytest.fixture(scope="module")
def uninterrupted(run, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("training", dataset_dir=str(phantom), **OPTIONS)
    return folder


def _interrupt(run: Callable[..., Any], step: int, **options: Any) -> None:
    """End a training in a step by an error that no handler of ours knows."""
    forward, calls = LSINetLoss.forward, []

    def fail(loss: LSINetLoss, *arguments: Any) -> torch.Tensor:
        calls.append(None)
        if len(calls) == step:
            raise ZeroDivisionError
        return forward(loss, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(LSINetLoss, "forward", fail)
        run("training", **options)
    assert len(calls) == step


# In which step it is interrupted, how often the state is saved, and the step from which it resumes.
INTERRUPTIONS = [
    (6, 2, 5),
    (2, None, 1),
    (4, None, 4),
    (9, None, 7),
    (9, 1, 9),
]


@pytest.mark.slow  # test_recorded_settings.py resumes a shorter training
@pytest.mark.parametrize(("step", "save_steps", "first"), INTERRUPTIONS)
def test_resumed_training_has_the_losses_of_an_uninterrupted_one(
    run, phantom: Path, uninterrupted: Path, step: int, save_steps: int | None, first: int
) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom), "save_steps": save_steps}
    _interrupt(run, step, **options)
    shutil.copytree("out", "interrupted")
    shutil.rmtree("out")
    Path("out").mkdir()
    shutil.copy("interrupted/training_state.pt", "out")
    torch.manual_seed(12345)
    run("training", resume="true", **options)
    resumed = curves(Path("out"))["train_loss"]
    assert list(resumed) == list(range(first, 10))
    for events in Path("interrupted").glob("events.*"):
        shutil.copy2(events, "out")
    assert curves(Path("out")) == curves(uninterrupted / "out")
    assert curves(uninterrupted / "out")["train_loss"].items() >= resumed.items()
    weights, expected = (torch.load(path, weights_only=True) for path in (Path("model.pt"), uninterrupted / "model.pt"))
    assert all(torch.equal(value, expected["model"][name]) for name, value in weights["model"].items())


@pytest.mark.slow
def test_a_complete_training_resumes_with_more_epochs_only(run, phantom: Path, uninterrupted: Path) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 2})
    said = refusal(run, **{**options, "max_epochs": 2, "resume": True})
    assert "'out' is complete, after 2 epochs" in said and "max_epochs above 2" in said
    run("training", **options, resume=True)
    assert curves(Path("out")) == curves(uninterrupted / "out")


@pytest.mark.slow
def test_what_cannot_be_resumed(run, phantom: Path) -> None:
    options = {"dataset_dir": str(phantom), "max_epochs": 1}
    assert "there is no 'out/training_state.pt'" in refusal(run, **options, resume=True)
    assert not Path("out").exists()
    run("training", **{**OPTIONS, **options})
    said = refusal(run, **options)
    assert "output_dir 'out' holds a training" in said and "--resume true" in said and "--overwrite true" in said
    said = refusal(run, **options, resume=True, batch_size=2, seed=3)
    assert "batch_size=2, which was 4" in said and "seed=3, which was 0" in said and "learning_rate" not in said
    said = refusal(run, **options, resume=True, drop_path_rate=0.2)
    assert "had other settings: drop_path_rate=0.2, which was 0." in said and "backbone" not in said
    said = refusal(run, **options, resume=True, validation_fraction=0)
    assert "training_clips='4 with 12 frames, names " in said and "which was '3 with 9 frames, names " in said
    shutil.copytree(phantom, "others")
    for frame in Path("others").glob("TrainDataset/*/case1_1/*"):
        frame.rename(frame.with_stem(f"other_{frame.stem}"))
    said = refusal(run, **{**options, "dataset_dir": "others"}, resume=True)
    assert "other settings: validation_clips='1 with 3 frames, names" in said and "training_clips" not in said
    assert "neither true nor false" in refusal(run, **options, resume="perhaps")
    whole = torch.load("out/training_state.pt", weights_only=True)
    of_earlier_version = torch.load("out/training_state.pt", weights_only=True)
    of_two = of_earlier_version | {"settings": of_earlier_version["settings"] | {"processes": 2}}
    torch.save(of_two, "out/training_state.pt")
    assert "had 2 processes: use torchrun --nproc_per_node 2" in refusal(run, **options, resume=True)
    del of_earlier_version["settings"]["every_frame"]
    torch.save(of_earlier_version, "out/training_state.pt")
    assert "'out' is complete" in refusal(run, **options, resume=True)
    assert "other settings: every_frame=True, which was None" in refusal(run, **options, resume=True, every_frame=True)
    content = Path("out/training_state.pt").read_bytes()
    for damaged in (content[:1000], b"epoch,loss", b""):
        Path("out/training_state.pt").write_bytes(damaged)
        assert "'out/training_state.pt' cannot be read" in refusal(run, **options, resume=True)
    for other in ({"model": {}}, whole | {"trainer": {}}):
        torch.save(other, "out/training_state.pt")
        assert "'out/training_state.pt' cannot be read" in refusal(run, **options, resume=True)


@contextlib.contextmanager
def another_process_trains() -> Iterator[None]:
    """Another process takes the lock, which works only if no process holds it here."""
    code = "import filelock; lock = filelock.FileLock('out/.training.lock'); lock.acquire(timeout=0); print(); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline()
        yield
        other.stdin.close()


@pytest.mark.slow
def test_one_process_at_a_time_trains_in_a_folder(run, phantom: Path, monkeypatch) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 1})
    content = Path("out/training_state.pt").read_bytes()
    with another_process_trains():
        monkeypatch.setattr("lsinet_monai.handlers.training_folder.WAIT", 0.1)
        for ways in ({"resume": True, "seed": 7}, {"overwrite": True}):
            said = refusal(run, **options | ways)
            assert "another process trains in output_dir 'out'" in said and "delete 'out/.training.lock'" in said
        assert Path("out/training_state.pt").read_bytes() == content
    assert "other settings" in refusal(run, **options, resume=True, seed=7)
    with another_process_trains():
        pass
    run("training", **options, resume=True)


@pytest.mark.slow
def test_an_error_does_not_keep_the_folder_from_the_next_training(run, phantom: Path) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    _interrupt(run, 2, **options)
    with another_process_trains():
        pass
    run("training", **options, resume=True)


@pytest.mark.slow
def test_a_training_that_was_stopped_before_its_first_state_begins_again(run, phantom: Path) -> None:
    Path("out").mkdir()
    Path("out/events.out.tfevents.1.host.1.0").touch()
    assert "holds files that this run did not write" in refusal(run, dataset_dir=str(phantom))
    for name in (".training.lock", ".training_state.pt.tmp"):
        Path("out", name).touch()
    Path("out/events.out.tfevents.1.host.1.1").write_bytes(bytes(20_000))
    assert "e.g. 'events.out.tfevents.1.host.1.1'" in refusal(run, dataset_dir=str(phantom))  # it has curves
    Path("out/events.out.tfevents.1.host.1.1").unlink()
    run("training", **OPTIONS | {"dataset_dir": str(phantom), "max_epochs": 1})
    assert sorted(path.name for path in Path("out").iterdir() if not path.name.startswith("events.")) == [
        ".training.lock", "training_state.pt"
    ]  # fmt: skip


def test_a_refused_training_makes_nothing(run, phantom: Path) -> None:
    Path("out").mkdir()
    Path("out/notes.txt").touch()
    assert "holds files" in refusal(run, dataset_dir=str(phantom), model_file="models/new/model.pt")
    assert [path.name for path in Path().iterdir()] == ["out"] and len([*Path("out").iterdir()]) == 1


@pytest.mark.slow
def test_overwrite_starts_again(run, phantom: Path, uninterrupted: Path) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 1, "seed": 1})
    Path("out/notes.txt").touch()
    earlier = list(Path("out").glob("events.*"))
    run("training", **options, overwrite=True)
    content = torch.load("out/training_state.pt", weights_only=True)
    assert content["settings"]["seed"] == 0 and content["trainer"]["iteration"] == 9
    assert earlier and not any(path.exists() for path in earlier) and Path("out/notes.txt").exists()
    assert curves(Path("out")) == curves(uninterrupted / "out")


@pytest.mark.slow
def test_a_resumed_training_keeps_the_best_model_of_before(run, phantom: Path, monkeypatch) -> None:
    dice = iter([0.9, 0.5, 0.6])
    monkeypatch.setattr("lsinet_monai.metrics.ClipDice.compute", lambda metric: next(dice))
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 1})
    best = Path("model.pt").read_bytes()
    run("training", **options, resume=True)
    assert Path("model.pt").read_bytes() == best
    assert [path.name for path in Path().glob("*.pt")] == ["model.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["resume", "overwrite"])
def test_a_full_disk_keeps_the_last_state_and_its_curves(run, phantom: Path, way: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full, to which writing fails as on a full disk")
    options = {"dataset_dir": str(phantom)}
    run("training", **{**OPTIONS, **options, "max_epochs": 1})
    content = {path: path.read_bytes() for path in Path("out").iterdir()}
    Path("out/.training_state.pt.tmp").symlink_to("/dev/full")
    said = refusal(run, **options, **{way: True})
    assert "make room" in said
    assert ("continue with --resume true" if way == "resume" else "start it again as before") in said
    assert {path: path.read_bytes() for path in content} == content


@pytest.mark.slow
def test_a_loss_that_is_no_number_keeps_the_last_state(run, phantom: Path, monkeypatch) -> None:
    forward, calls = LSINetLoss.forward, []

    def diverge(loss: LSINetLoss, *arguments: Any) -> torch.Tensor:
        calls.append(None)
        value = forward(loss, *arguments) * (float("nan") if len(calls) == 5 else 1)
        loss.parts = loss.parts * (float("nan") if len(calls) == 5 else 1)
        return value

    monkeypatch.setattr(LSINetLoss, "forward", diverge)
    said = refusal(run, dataset_dir=str(phantom))
    assert "the loss is nan in epoch 2, step 5" in said and "learning_rate" in said
    content = torch.load("out/training_state.pt", weights_only=True)
    assert content["trainer"]["iteration"] == 3
    assert all(value.isfinite().all() for value in content["network"].values())


@pytest.mark.slow
def test_a_gradient_that_is_no_number_changes_no_weight(run, phantom: Path, monkeypatch) -> None:
    """In the last step of an epoch, after which a new state would replace the last good one."""
    backward, calls = torch.Tensor.backward, []

    def diverge(loss: torch.Tensor, *arguments: Any, **options: Any) -> None:
        calls.append(None)
        backward(loss * (float("nan") if len(calls) == 6 else 1), *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "backward", diverge)
    said = refusal(run, dataset_dir=str(phantom))
    assert "the norm of the gradients is nan in epoch 2, step 6" in said and "learning_rate" in said
    content = torch.load("out/training_state.pt", weights_only=True)
    assert content["trainer"]["iteration"] == 3
    assert all(value.isfinite().all() for value in content["network"].values())


@pytest.mark.slow
def test_without_validation_the_model_is_there_before_the_training_is_complete(run, phantom: Path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.pt")

    options = {"dataset_dir": str(phantom), "validation_fraction": 0}
    with monkeypatch.context() as patched:
        patched.setattr(model_saver, "save_model", full)
        assert "make room" in refusal(run, **options)
    run("training", **{**OPTIONS, **options}, resume=True)
    assert Path("model.pt").is_file()


@pytest.mark.slow
def test_a_model_that_is_trained_further_in_place_is_there_at_every_moment(run, phantom: Path, monkeypatch) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 1})
    before, seen = Path("model.pt").read_bytes(), []
    save = model_saver.save_model

    def look(network: torch.nn.Module, path: Path, image_size: list[int]) -> None:
        seen.append(Path(path).read_bytes())
        save(network, path, image_size)

    monkeypatch.setattr(model_saver, "save_model", look)
    run("training", **options, checkpoint="model.pt", overwrite=True)
    (kept,) = Path().glob("model_*.pt")
    assert seen[0] == before and kept.read_bytes() == before and Path("model.pt").read_bytes() != before


@pytest.mark.slow
def test_a_state_that_is_damaged_inside_is_refused(run, phantom: Path) -> None:
    options = {**OPTIONS, "dataset_dir": str(phantom)}
    run("training", **{**options, "max_epochs": 1})
    content = bytearray(Path("out/training_state.pt").read_bytes())
    middle = len(content) // 3
    content[middle : middle + 4096] = bytes(4096)
    Path("out/training_state.pt").write_bytes(content)
    assert "'out/training_state.pt' cannot be read" in refusal(run, **options, resume=True)


# Runs the bundle's command, and interrupts it at a moment that does not depend on the machine's speed.
PROGRAM = """
import os, runpy, signal, sys
from pathlib import Path
import torch
from lsinet_monai.data import TrainingDataset
from lsinet_monai.losses import LSINetLoss

moment, count = sys.argv[1], int(sys.argv[2])
sys.argv[1:3] = []
calls = 0

def counted(function, interrupt, concerns=lambda *arguments: True, before=True):
    '''Call interrupt() before or after the call of a function with this number.'''
    def call(*arguments, **options):
        global calls
        calls += concerns(*arguments)
        is_now = concerns(*arguments) and calls == count
        if is_now and before:
            interrupt(*arguments)
        result = function(*arguments, **options)
        if is_now and not before:
            interrupt(*arguments)
        return result
    return call

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def write_half(content, path, *_):
    save(content, path)
    os.truncate(path, os.path.getsize(path) // 2)
    die()

save = torch.save
if moment == "within the writing":
    torch.save = counted(save, write_half, lambda content, path: "training_state" in str(path))
elif moment == "before it has its name":
    os.replace = counted(os.replace, die, lambda old, new: Path(new).name == "training_state.pt")
elif moment == "after the writing":
    os.replace = counted(os.replace, die, lambda old, new: Path(new).name == "training_state.pt", before=False)
elif moment == "within a step":
    LSINetLoss.forward = counted(LSINetLoss.forward, die)
elif moment == "Ctrl-C within a step":
    # A process that a script starts in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LSINetLoss.forward = counted(LSINetLoss.forward, lambda *_: os.kill(os.getpid(), signal.SIGINT))
elif moment == "worker of an epoch":
    get_item = TrainingDataset.__getitem__

    def get_or_die(dataset, sample):
        global calls
        calls += 1
        if calls > (count - 1) * len(dataset) and torch.utils.data.get_worker_info() is not None:
            die()
        return get_item(dataset, sample)

    TrainingDataset.__getitem__ = get_or_die

runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


def _train(
    preloaded: Preloaded, phantom: Path, moment: str, count: int, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the bundle's command in a process that is interrupted at the moment with this number."""
    options = {**OPTIONS, "dataset_dir": phantom, "backbone": "mobilenetv3_small_100", "pretrained": "false",
               "image_size": 64, "batch_size": 4, "device": "cpu", "num_workers": 0, **options}  # fmt: skip
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return preloaded.run(PROGRAM, moment, str(count), "run", "training", "--config_file", str(CONFIG), *flags)


# When each run is killed, its number, and the step of the state that it leaves: the state is saved after each step.
KILLS = [
    ("within the writing", 1, None),  # the first state
    ("after the writing", 3, 2),
    ("within the writing", 2, 3),
    ("within a step", 3, 5),
    ("before it has its name", 1, 5),
]


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again(preloaded: Preloaded, phantom: Path, uninterrupted: Path) -> None:
    state = Path("out/training_state.pt")
    for moment, number, step in KILLS:
        result = _train(preloaded, phantom, moment, number, save_steps=1, resume=state.exists())
        assert result.returncode == -signal.SIGKILL, result.stderr
        left = torch.load(state, weights_only=True)["trainer"]["iteration"] if state.exists() else None
        assert left == step, moment
    result = _train(preloaded, phantom, "never", 0, save_steps=1, resume=True)
    assert result.returncode == 0, result.stderr
    assert curves(Path("out")) == curves(uninterrupted / "out")
    assert [path.name for path in Path("out").glob(".*")] == [".training.lock"]


@pytest.mark.slow
def test_a_lost_worker_ends_the_training_in_one_line(preloaded: Preloaded, phantom: Path) -> None:
    result = _train(preloaded, phantom, "worker of an epoch", 2, num_workers=1)
    assert result.returncode == 1
    last = result.stderr.rstrip().rpartition("\n")[2]
    assert last.startswith("error: DataLoader worker (pid") and "--resume true" in last
    assert "Traceback" not in result.stdout + result.stderr
    assert torch.load("out/training_state.pt", weights_only=True)["trainer"]["iteration"] == 3


@pytest.mark.slow
def test_an_interruption_ends_the_training_in_one_line(preloaded: Preloaded, phantom: Path) -> None:
    result = _train(preloaded, phantom, "Ctrl-C within a step", 5)
    assert result.returncode == -signal.SIGINT
    last = result.stderr.rstrip().rpartition("\n")[2]
    assert last == "interrupted; --resume true continues a training or an inference"
    assert "Traceback" not in result.stdout + result.stderr

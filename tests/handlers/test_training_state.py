from __future__ import annotations

import errno
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import FailureReporter, TrainingState

SETTINGS = {"seed": 0, "batch_size": 4, "every_frame": False, "backbone": "b1", "processes": 1}

# The settings of a training to resume that differ from those above, and what the error says.
OTHER_SETTINGS = [
    ({"batch_size": 2, "seed": 3}, "had other settings: seed=3, which was 0; batch_size=2, which was 4. Give"),
    ({"backbone": "b5"}, "had other settings: backbone='b5', which was 'b1'"),
    ({"every_frame": True}, "had other settings: every_frame=True, which was False"),
    ({"new_setting": 5}, "had other settings: new_setting=5, which was None"),
    ({"processes": 2}, "had 1 processes: use python, without torchrun"),
]


def _draw() -> torch.Tensor:
    """Draw from all random generators whose states are saved."""
    return torch.randn(1) + np.random.randn() + random.random()


class _Trained:
    """A training of a network of one weight, with random data, set up as in a bundle's config."""

    def __init__(
        self,
        folder: Path,
        epochs: int = 3,
        settings: Mapping[str, Any] = SETTINGS,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
        self.network = nn.Linear(1, 1)
        self.losses: dict[int, float] = {}
        optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.state = TrainingState(folder, epochs, network=self.network, optimizer=optimizer, **options, **settings)
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=[{"image": torch.ones(1, 1), "label": torch.zeros(1, 1)}] * 2,
            network=self.network,
            optimizer=optimizer,
            loss_function=lambda prediction, label: (prediction - _draw()).square().mean(),
            train_handlers=[FailureReporter(self.state.leave_folder), self.state],
            decollate=False,
        )
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._note)

    def _note(self, engine: Engine) -> None:
        self.losses[engine.state.iteration] = engine.state.output["loss"].item()

    def run(self, stop_in: int | None = None, overwrite: bool = False) -> dict[int, float]:
        """Train, to the end or until an error in a step, and return the loss of each step."""
        self.state.prepare(overwrite)
        if stop_in is None:
            self.trainer.run()
            return self.losses

        def stop(engine: Engine) -> None:
            raise ZeroDivisionError

        self.trainer.add_event_handler(Events.ITERATION_STARTED(once=stop_in), stop)
        with pytest.raises(ZeroDivisionError):
            self.trainer.run()
        return self.losses


def _content(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "training_state.pt", weights_only=True)


# In which step it stops, how often the state is saved, and the step from which it continues.
STOPS = [(1, None, 1), (2, None, 1), (3, None, 3), (6, None, 5), (6, 1, 6), (2, 1, 2)]


def test_a_training_that_has_run_does_not_start_again(tmp_path: Path) -> None:
    training = _Trained(tmp_path)
    training.run()
    before = _content(tmp_path)["trainer"]
    for _ in range(2):  # the refusal is no run
        with pytest.raises(InputError, match=r"has run, and would start again .* call initialize\(\) again"):
            training.trainer.run()
    assert _content(tmp_path)["trainer"] == before


def test_a_training_that_failed_does_not_go_on_by_itself(tmp_path: Path) -> None:
    training = _Trained(tmp_path)
    training.run(stop_in=3)
    for _ in range(2):
        with pytest.raises(InputError, match=r"ended by an error: call initialize\(\) again, with resume=true"):
            training.trainer.run()


def test_a_training_that_has_run_goes_on_to_a_higher_epoch(tmp_path: Path) -> None:
    training = _Trained(tmp_path)
    training.run()
    training.trainer.state.max_epochs = 4
    assert len(training.run(overwrite=True)) == 8


@pytest.mark.parametrize(("stop_in", "save_steps", "first"), STOPS)
def test_a_resumed_training_is_that_which_was_not_interrupted(
    tmp_path: Path, stop_in: int, save_steps: int | None, first: int
) -> None:
    whole = _Trained(tmp_path / "whole", seed=0)
    expected = whole.run()
    _Trained(tmp_path / "out", seed=0, save_steps=save_steps).run(stop_in)
    resumed = _Trained(tmp_path / "out", seed=123, resume=True, save_steps=save_steps)
    assert resumed.run() == {step: values for step, values in expected.items() if step >= first}
    assert torch.equal(resumed.network.weight, whole.network.weight)


def test_the_state_of_an_earlier_version_resumes_and_is_replaced(tmp_path: Path) -> None:
    expected = _Trained(tmp_path / "whole", seed=0).run()
    _Trained(tmp_path / "out", seed=0).run(stop_in=4)
    (tmp_path / "out" / "training_state.pt").rename(tmp_path / "out" / "checkpoint.pt")
    assert _Trained(tmp_path / "out", seed=9, resume=True).run() == {step: expected[step] for step in (3, 4, 5, 6)}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".training.lock", "training_state.pt"]
    assert _content(tmp_path / "out")["trainer"]["iteration"] == 6


def test_a_new_training_leaves_no_state_of_an_earlier_version_to_resume_from(tmp_path: Path) -> None:
    _Trained(tmp_path / "out").run()
    (tmp_path / "out" / "training_state.pt").rename(tmp_path / "out" / "checkpoint.pt")
    with pytest.raises(InputError, match="holds a training"):
        _Trained(tmp_path / "out").run()
    _Trained(tmp_path / "out", settings={**SETTINGS, "seed": 1}).run(stop_in=1, overwrite=True)
    assert not (tmp_path / "out" / "checkpoint.pt").exists()
    assert _content(tmp_path / "out")["settings"]["seed"] == 1


@pytest.mark.parametrize(("changed", "said"), OTHER_SETTINGS)
def test_other_settings_are_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    _Trained(tmp_path).run(stop_in=4)
    with pytest.raises(InputError, match=f"^resume=true, but the training in '{tmp_path}' {said}"):
        _Trained(tmp_path, settings={**SETTINGS, **changed}, resume=True).run()


def test_a_setting_that_an_earlier_version_did_not_have_was_off(tmp_path: Path) -> None:
    earlier = {name: value for name, value in SETTINGS.items() if name not in ("every_frame", "processes")}
    _Trained(tmp_path, settings=earlier).run(stop_in=4)
    _Trained(tmp_path, resume=True).run()


def test_the_record_of_an_earlier_version_has_the_networks_arguments_by_themselves(tmp_path: Path) -> None:
    _Trained(tmp_path).run(stop_in=4)
    content = _content(tmp_path)
    kept = {name: value for name, value in content["settings"].items() if "#" not in name and name != "backbone"}
    torch.save(content | {"settings": kept | {"network": {"backbone": "b1"}, "channels_last": True}}, tmp_path / "x")
    (tmp_path / "x").replace(tmp_path / "training_state.pt")
    with pytest.raises(InputError, match=r"other settings: backbone='b5', which was 'b1'\. Give the earlier ones"):
        _Trained(tmp_path, settings={**SETTINGS, "backbone": "b5"}, resume=True).run()
    _Trained(tmp_path, resume=True).run()


def test_what_the_objects_have_is_recorded_and_compared(tmp_path: Path) -> None:
    _Trained(tmp_path).run(stop_in=4)
    assert _content(tmp_path)["settings"]["learning_rate"] == 0.1
    again = _Trained(tmp_path, resume=True)
    network = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.2)
    again.state = TrainingState(tmp_path, 3, True, network=network, optimizer=optimizer, **SETTINGS)
    with pytest.raises(InputError) as error:
        again.state.prepare()
    said = "other settings: learning_rate=0.2, which was 0.1; optimizer#_target_='AdamW', which was 'Adam'; optimizer#"
    assert said in str(error.value)


@pytest.mark.parametrize(
    "options", [{"max_epochs": 0}, {"save_steps": 0}, {"resume": "perhaps"}, {"output_dir": 20240101}]
)
def test_values_are_checked(tmp_path: Path, options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"^{name}={value!r} "):
        TrainingState(**{"output_dir": tmp_path, "max_epochs": 1} | options)


def test_a_complete_training_resumes_with_more_epochs_only(tmp_path: Path) -> None:
    expected = _Trained(tmp_path / "whole", seed=0).run()
    _Trained(tmp_path / "out", epochs=2, seed=0).run()
    with pytest.raises(InputError, match="is complete, after 2 epochs: give a max_epochs above 2"):
        _Trained(tmp_path / "out", epochs=2, resume=True).run()
    assert _Trained(tmp_path / "out", resume=True).run() == {step: expected[step] for step in (5, 6)}


def test_a_file_that_is_not_a_state_is_refused(tmp_path: Path) -> None:
    _Trained(tmp_path).run(stop_in=4)
    file = tmp_path / "training_state.pt"
    content, whole = file.read_bytes(), _content(tmp_path)
    for bytes_ in (content[:1000], b"epoch,loss", b""):
        file.write_bytes(bytes_)
        with pytest.raises(
            InputError, match=f"^'{file}' cannot be read as the state of a training .*--overwrite true$"
        ):
            _Trained(tmp_path, resume=True).run()
    for other in ({"model": {}}, whole | {"trainer": {}}, [1]):
        torch.save(other, file)
        with pytest.raises(InputError, match=r"cannot be read as the state of a training \(another kind of file\)"):
            _Trained(tmp_path, resume=True).run()


def test_a_failure_to_write_keeps_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _Trained(tmp_path, epochs=1).run()
    before = (tmp_path / "training_state.pt").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "training_state.pt")

    monkeypatch.setattr("lsinet_monai.handlers.training_state.write_torch_file", full)
    with pytest.raises(InputError, match="make room, then continue with --resume true"):
        _Trained(tmp_path, resume=True).run()
    assert (tmp_path / "training_state.pt").read_bytes() == before

from __future__ import annotations

import errno
from typing import NoReturn

import pytest
from monai.transforms import Compose
from torch.utils.data import DataLoader, Dataset

from lsinet_monai.data.mask_files import UnclearMasks
from lsinet_monai.errors import InputError, causes, describe_no_room, find_input_error


def _fail(*_: object) -> NoReturn:
    raise InputError("frame.png: is empty; replace it")


class _Frames(Dataset):
    def __init__(self, kind: type[InputError] = InputError) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> NoReturn:
        raise self.kind("frame.png: is empty; replace it")


def _raised(block) -> BaseException:
    with pytest.raises(Exception) as caught:
        block()
    return caught.value


def _while_handling() -> None:
    try:
        raise OSError
    except OSError:
        _fail()


CHAINS = {
    "itself": _fail,
    "wrapped by MONAI": lambda: Compose([_fail])(0),
    "in a worker process": lambda: next(iter(DataLoader(_Frames(), num_workers=1))),
    "of another class in a worker process": lambda: next(iter(DataLoader(_Frames(UnclearMasks), num_workers=1))),
    "while handling another": _while_handling,
}


@pytest.mark.slow
@pytest.mark.parametrize("block", CHAINS.values(), ids=CHAINS)
def test_find_input_error(block) -> None:
    assert str(find_input_error(_raised(block))) == "frame.png: is empty; replace it"


def test_other_errors_are_no_input_errors() -> None:
    assert find_input_error(None) is None
    assert find_input_error(ValueError("wrong")) is None


def test_causes() -> None:
    error = _raised(_while_handling)
    assert [type(cause) for cause in causes(error)] == [InputError, OSError]
    assert not list(causes(None))


# An error, and the line that describes it.
NO_ROOM = [
    (OSError(errno.ENOSPC, "No space left"), "cannot write a file (No space left): make room"),
    (
        OSError(errno.EDQUOT, "Disk quota exceeded", "out/x.png"),
        "cannot write out/x.png (Disk quota exceeded): make room",
    ),
    (OSError(errno.EFBIG, "File too large", "file:log"), "cannot write log (File too large): make room"),
    (OSError(errno.EACCES, "Permission denied", "log"), None),
    (ValueError("No space left"), None),
    (None, None),
]


@pytest.mark.parametrize(("error", "said"), NO_ROOM)
def test_describe_no_room(error: BaseException | None, said: str | None) -> None:
    assert describe_no_room(error) == said

"""One job of the label app: what is asked for, by whom, and how far it is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Job", "Work"]

Work = Generator[tuple[float, str], None, list[dict[str, Any]]]
"""The work of a job: yields progress, in [0, 1], and a message after each small piece; returns the changed frames."""


@dataclass
class Job:
    """A request for work, and its progress."""

    job: str
    image: str
    kind: str
    frame: int | None
    user: str
    """Who asked for it."""
    owner: str
    """Whose turns it takes: the user or, without sign-in, the calling machine."""
    created: float
    state: str = "queued"
    progress: float = 0.0
    seconds_left: float | None = None
    message: str = "waiting"
    changed: list[dict[str, Any]] | None = None
    within: list[int] | None = None
    """Propagate to these frames alone: the first one, and the one after the last."""
    version: int | None = None
    """The version of the correction to propagate; a running job's is the one that it found."""
    note: str = ""
    """What its message says at the end, besides that it is done or cancelled."""

    def public(self) -> dict[str, Any]:
        """The fields that clients see."""
        return {name: value for name, value in asdict(self).items() if name not in ("owner", "created", "note")}

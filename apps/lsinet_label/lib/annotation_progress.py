"""How far an annotation has come, so that it resumes after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import ClipState
from lsinet_monai.utils.files import read_torch_file, write_torch_file

__all__ = ["AnnotationProgress"]

logger = logging.getLogger(__name__)


class AnnotationProgress:
    """The file from which an interrupted annotation resumes with the same masks.

    Args:
        path: the file.
        model: identifies the model. An annotation resumes only with the model that began it.
        settings: the inferer's, which must be the same too.
    """

    def __init__(self, path: Path, model: str, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._began_with = {"model": model, "inferer": dict(settings)}

    def save(self, state: ClipState, next_frame: int, lesions: Mapping[str, Any]) -> None:
        """Store the inferer's state, the next frame, and the state of the lesions' tracker."""
        content = {**self._began_with, "next_frame": next_frame, "lesions": lesions}
        write_torch_file(content | state.state_dict(), self.path)

    def resume(self, state: ClipState, device: str) -> tuple[int, dict[str, Any] | None] | None:
        """Load the stored state into a new one.

        Returns:
            the frame to resume at, and the state of the lesions' tracker, which files of earlier versions lack; or None
            if there is no readable state of this model and these settings.
        """
        if not self.path.exists():
            return None
        try:
            content = read_torch_file(self.path, device)
        except InputError as error:
            logger.warning("'%s' cannot be read (%s): the annotation starts again at the first frame", self.path, error)
            return None
        if any(content.get(name) != value for name, value in self._began_with.items()):
            return None
        state.load_state_dict(content)
        return int(content["next_frame"]), content.get("lesions")

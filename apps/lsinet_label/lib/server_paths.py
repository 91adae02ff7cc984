"""Remove the server's folders from its answers, which name files without them."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import Response

__all__ = ["ServerPaths"]


class ServerPaths:
    """Removes the server's folders from answers: ``/srv/videos/p1.mp4`` becomes ``p1.mp4``.

    Args:
        folders: folders to hide. Those of Python, of temporary files and of the server's user are hidden too.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        common = (Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix), Path.home(), Path.cwd())
        found = {str(path) for folder in (*folders, *common) for path in (folder.absolute(), folder.resolve())}
        longest_first = sorted((folder for folder in found if len(folder) > 1), key=len, reverse=True)
        self._folder = re.compile(f"({'|'.join(map(re.escape, longest_first))})(/|(?![\\w.-]))")
        self._encoded = [json.dumps(folder, ensure_ascii=False)[1:-1].encode() for folder in longest_first]

    def hide(self, value: Any) -> Any:
        """A copy of a text, or of lists and dictionaries of texts, without the folders."""
        if isinstance(value, str):
            return self._folder.sub(lambda found: "" if found[2] else Path(found[1]).name, value)
        if isinstance(value, list | tuple):
            return [self.hide(entry) for entry in value]
        if isinstance(value, dict):
            return {self.hide(key): self.hide(entry) for key, entry in value.items()}
        return value

    def hide_in(self, response: Response) -> Response:
        """Remove the folders from the body of an answer in JSON or plain text. Other answers, such as files, stay."""
        body, kind = getattr(response, "body", b""), response.headers.get("content-type", "")
        if not any(folder in body for folder in self._encoded):
            return response
        if kind.startswith("application/json"):
            body = json.dumps(self.hide(json.loads(body)), ensure_ascii=False, separators=(",", ":")).encode()
        elif kind.startswith("text/"):
            body = self.hide(body.decode(errors="replace")).encode()
        response.body = body
        response.headers["content-length"] = str(len(body))
        return response

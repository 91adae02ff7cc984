"""Turns cross-references in docstrings, such as :class:`LSINet`, into links of the documentation."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")


class Roles(griffe.Extension):
    """Replaces each role by a link to the object that it names, if the site has it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(lambda role: _link(obj, role), obj.docstring.value)


def _link(obj: griffe.Object, role: re.Match[str]) -> str:
    shortened, name = role.groups()
    first, _, rest = name.partition(".")
    try:
        path = f"{obj.resolve(first)}.{rest}".rstrip(".")
    except griffe.NameResolutionError:
        path = name
    text = name.rpartition(".")[2] if shortened else name
    return f'<autoref optional identifier="{path}"><code>{text}</code></autoref>'

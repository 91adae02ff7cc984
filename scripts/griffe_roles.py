"""Cross-references of the docstrings, :class:`LSINet` and the like, for the documentation's build."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")


class Roles(griffe.Extension):
    """Turn each into a link to what it names, where the site has that."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute once it is read."""
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

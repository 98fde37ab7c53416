"""Commands that are loaded when they are asked for: to load all of a group takes longer than what most of them do."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from typing import Any

from imageforge.errors import UsageError


class Later(UserDict[str, Any]):
    """Commands by name, in the order in which they are listed; each is made once, by its function, at its first
    use."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__()
        self._makers = dict(makers)
        self.data = dict.fromkeys(makers)

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            self.data[name] = self._makers[name]()
        return self.data[name]


def absent(name: str) -> Callable[[], None]:
    """A command that this system lacks the modules for: it says so when it is called."""

    def command() -> None:
        raise UsageError(
            "needs-linux", name, "it works on the machine that runs the stack", hint="run it there, by ssh"
        )

    command.__doc__ = "Only on Linux."
    return command

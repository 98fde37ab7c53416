"""What the options before the command said, and where this command line works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imageforge.config import Home, Settings, load_settings
from imageforge.config.home import ROOT_HOME
from imageforge.errors import StackError
from imageforge.stack.state import read_report, running_supervisor

if TYPE_CHECKING:
    from imageforge.store import Database
    from runtime import ControllerClient


@dataclass(frozen=True, slots=True)
class Workplace:
    """The home that this command works in, and its settings."""

    home: Home
    settings: Settings

    @classmethod
    def here(cls) -> Workplace:
        """The home of this user, or that of root where only root runs a stack and we may look into it."""
        home = Home.locate()
        return cls(home, load_settings(home.settings_file))

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The store, made at the first use."""
        # Most commands never open it, and what reads it takes a fifth of a second to load.
        from imageforge.store import Database  # noqa: PLC0415

        self.home.prepare()
        with Database.at(self.home.store) as database:
            yield database

    def controller(self) -> ControllerClient:
        """The running controller. Raises StackError (`stack-not-running`) with the reason and the next step."""
        from runtime import ControllerClient  # noqa: PLC0415 - the runtime takes a fifth of a second, too

        self.require_running()
        return ControllerClient(self.home.controller_socket)

    def require_running(self) -> None:
        """Raise StackError (`stack-not-running`) unless the stack of this home runs."""
        if self.home.exists and running_supervisor(self.home) and read_report(self.home):
            return
        elsewhere = other_stack(self.home)
        if elsewhere:
            raise StackError(
                "stack-of-another-user",
                str(ROOT_HOME),
                f"the stack runs there as root, and you are {_user()}",
                hint="use sudo, or `imageforge up` for a stack of your own (it needs an engine you may use)",
            )
        raise StackError("stack-not-running", str(self.home.path), "nothing runs in this home", hint="imageforge up")


def other_stack(home: Home) -> bool:
    """Whether root's home, which is not this one, has a stack; its presence can be seen without looking into it."""
    return home.path != ROOT_HOME and os.geteuid() != 0 and ROOT_HOME.exists()


def _user() -> str:
    try:
        import pwd  # noqa: PLC0415 - absent on Windows, where the client part runs too
    except ImportError:
        return "another user"
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"

"""What a rule is: its facts, its check, and the page that argues for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from linters.context import Context
from linters.copies import Copy, copy_of
from linters.dockerfile import Dockerfile, Span
from linters.entry import Entry, entry_of
from linters.model import Basis, Edit, Principle, Severity
from linters.packages import Call
from linters.packages import calls as calls_of
from linters.policy import OptionValue, Policy
from linters.scripts import Script, scripts_of
from linters.stages import Plan, Step
from linters.start import StartScript, start_script
from linters.user import User, user_of

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """What a check found at one place. `severity` overrides the rule's; `secrets` are texts that nobody may print;
    `edits` and `safe` as a finding has them."""

    span: Span
    message: str
    fix: str | None = None
    severity: Severity | None = None
    secrets: tuple[str, ...] = ()
    basis: Basis = Basis.FILE
    edits: tuple[Edit, ...] = ()
    safe: bool = False


class Subject:
    """A file under check: its text, its stages for one target, what it starts, the context where there is one, and what
    is asked of it.

    `squashed` says that the layers become one after the build, so that what a later one removes is really gone.
    """

    def __init__(
        self,
        dockerfile: Dockerfile,
        plan: Plan,
        *,
        context: Context | None = None,
        policy: Policy | None = None,
        squashed: bool = False,
    ) -> None:
        self.dockerfile = dockerfile
        self.plan = plan
        self.context = context
        self.squashed = squashed
        self.policy = policy or Policy()
        self._scripts: dict[int, tuple[Script, ...]] = {}
        self._calls: dict[int, tuple[Call, ...]] = {}

    @cached_property
    def entry(self) -> Entry:
        """ENTRYPOINT and CMD in effect."""
        return entry_of(self.plan)

    @cached_property
    def start(self) -> StartScript | None:
        """The shell script of the image's own that a container starts with, where its text is at hand."""
        return start_script(self.plan, self.entry, self.context)

    @cached_property
    def user(self) -> User:
        """The user that the target's program runs as."""
        return user_of(self.plan)

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """What the chain's COPY and ADD do, without those whose destination cannot be told."""
        found = (copy_of(step) for step in self.plan.steps("COPY", "ADD"))
        return tuple(copy for copy in found if copy is not None)

    def scripts(self, step: Step) -> tuple[Script, ...]:
        """The shell scripts of one step, parsed once."""
        known = self._scripts.get(id(step))
        if known is None:
            known = self._scripts[id(step)] = scripts_of(step)
        return known

    def calls(self, script: Script) -> tuple[Call, ...]:
        """The package manager calls of one script, read once."""
        known = self._calls.get(id(script))
        if known is None:
            known = self._calls[id(script)] = tuple(calls_of(script))
        return known

    @cached_property
    def _run(self) -> tuple[Script, ...]:
        steps = (*self.plan.steps("RUN"), *self.plan.triggers("RUN"))
        return tuple(script for step in steps for script in self.scripts(step))

    @cached_property
    def _reachable(self) -> tuple[Script, ...]:
        steps = (*self.plan.reachable_steps("RUN"), *self.plan.triggers("RUN"))
        return tuple(script for step in steps for script in self.scripts(step))

    def run_scripts(self) -> Iterable[Script]:
        """The scripts of the chain's RUN instructions, and of those that it keeps for child images."""
        return self._run

    def reachable_scripts(self) -> Iterable[Script]:
        """The scripts of every RUN that the target needs, build stages included."""
        return self._reachable


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageHit:
    """What a check found in a built image: `excerpt` the thing itself (a path, a variable's name), of which no secret
    may be a part; `severity` overrides the rule's."""

    message: str
    fix: str | None = None
    severity: Severity | None = None
    excerpt: str = ""


Check = Callable[[Subject], Iterable[Hit]]
ImageCheck = Callable[["Evidence"], Iterable[ImageHit]]
_PAGES = Path(__file__).with_name("rules")


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """Something about a rule that a project may set; the kind of its default is the kind that is expected, and one of
    `choices` where there are some."""

    name: str
    default: OptionValue
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule: `check` judges it from the file, `image` from the built image; a rule may have both, and one that has
    neither is judged by a trial. `covers` names the hadolint codes that say the same and give way where this rule
    speaks, `alias` the check of BuildKit's that does."""

    id: str
    severity: Severity
    principle: Principle
    title: str
    check: Check | None = field(default=None, repr=False)
    image: ImageCheck | None = field(default=None, repr=False)
    covers: frozenset[str] = frozenset()
    alias: str = ""
    options: tuple[Option, ...] = ()

    @property
    def page(self) -> str:
        """The page in Markdown: why, a bad and a good example, the fix."""
        return (_PAGES / f"{self.id.lower()}.md").read_text(encoding="utf-8")

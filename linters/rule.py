"""What a rule is: its facts, its check, and the page that argues for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from linters.dockerfile import Dockerfile, Span
from linters.entry import Entry, entry_of
from linters.image.evidence import Evidence
from linters.model import Basis, Edit, Principle, Severity
from linters.policy import OptionValue, Policy
from linters.scripts import Script, scripts_of
from linters.stages import Plan, Step


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
    """A file under check: its text, its stages for one target, what it starts, and what is asked of it."""

    def __init__(
        self, dockerfile: Dockerfile, plan: Plan, *, context: Path | None = None, policy: Policy | None = None
    ) -> None:
        self.dockerfile = dockerfile
        self.plan = plan
        self.context = context
        self.policy = policy or Policy()
        self._scripts: dict[int, tuple[Script, ...]] = {}

    @cached_property
    def entry(self) -> Entry:
        """ENTRYPOINT and CMD in effect."""
        return entry_of(self.plan)

    def scripts(self, step: Step) -> tuple[Script, ...]:
        """The shell scripts of one step, parsed once."""
        known = self._scripts.get(id(step))
        if known is None:
            known = self._scripts[id(step)] = scripts_of(step)
        return known

    def run_scripts(self) -> Iterable[Script]:
        """The scripts of the chain's RUN instructions."""
        for step in self.plan.steps("RUN"):
            yield from self.scripts(step)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageHit:
    """What a check found in a built image: `excerpt` the thing itself (a path, a variable's name), of which no secret
    may be a part; `severity` overrides the rule's."""

    message: str
    fix: str | None = None
    severity: Severity | None = None
    excerpt: str = ""


Check = Callable[[Subject], Iterable[Hit]]
ImageCheck = Callable[[Evidence], Iterable[ImageHit]]
_PAGES = Path(__file__).with_name("rules")


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """Something about a rule that a project may set; the kind of its default is the kind that is expected."""

    name: str
    default: OptionValue
    help: str


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

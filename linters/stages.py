"""Stages, the target's chain through `FROM alias`, and what is known at each instruction.

The effective chain is the target stage with its ancestors in the same file; only there do content and configuration
matter. Reachable are, besides, the stages that COPY --from and RUN --mount=from take files from.
"""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from linters.base import BaseConfig, Bases, no_bases
from linters.dockerfile import Dockerfile, Instruction
from linters.errors import DockerfileError
from linters.expand import Scope

# Set by BuildKit or taken from the client, so never known here.
PREDEFINED = frozenset(
    name
    for plain in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (plain, plain.lower())
) | frozenset(f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "ARCH", "VARIANT"))
DEFAULT_SHELL = ("/bin/sh", "-c")
_WINDOWS_SHELL = ("cmd", "/S", "/C")
_WINDOWS = re.compile(
    r"(?:^|[/:-])(?:windows|servercore|nanoserver)|mcr\.microsoft\.com/dotnet/framework", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """An instruction inside a stage with what holds just before it.

    `workdir` is absolute; it begins with `?` where it hangs on the base image's own.
    """

    instruction: Instruction
    stage: int
    scope: Scope
    escape: str
    shell: tuple[str, ...]
    workdir: str

    def expand(self, text: str) -> str | None:
        """`text` with the variables of this place; None where it cannot be told."""
        return self.scope.expand(text, escape=self.escape)

    def path(self, text: str) -> str | None:
        """`text` expanded and made absolute by the working directory; None where it cannot be told."""
        expanded = self.expand(text)
        return None if expanded is None else posixpath.join(self.workdir, expanded)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage. `base` is the expanded image or stage name, None if undetermined; `parent` that stage's index.

    `config` is the base image's where it is at hand; `triggers` are what ONBUILD keeps for the stages on this one.
    """

    index: int
    name: str | None
    start: Instruction
    base: str | None
    parent: int | None
    steps: tuple[Step, ...]
    config: BaseConfig | None = None
    triggers: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a reachable stage takes an image or files from. `reference` is None where it is undetermined."""

    instruction: Instruction
    start: int
    end: int
    reference: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The stages of a file as one build of it sees them."""

    stages: tuple[Stage, ...]
    chain: tuple[Stage, ...]
    reachable: frozenset[int]
    names: Mapping[str, int]

    @property
    def target(self) -> Stage:
        """The stage that becomes the image."""
        return self.chain[-1]

    @property
    def root(self) -> Stage:
        """The first stage of the chain, which is built on an image from outside."""
        return self.chain[0]

    @property
    def base_image(self) -> str | None:
        """The reference at the root of the chain, ``scratch`` for none; None where it cannot be told."""
        base = self.root.base
        return "scratch" if base is not None and base.lower() == "scratch" else base

    @property
    def base_config(self) -> BaseConfig | None:
        """The configuration of the base image, where it is at hand and nothing that it triggers may change it."""
        config = self.root.config
        return config if config is not None and not config.triggers else None

    @property
    def windows(self) -> bool:
        """Whether the chain is built on Windows, as far as the base's name tells."""
        return is_windows(self.root.base)

    def triggers(self, *keywords: str) -> Iterator[Step]:
        """What the chain's ONBUILD instructions hold for the images built on it; the target itself does not run it."""
        for stage in self.chain:
            for step in stage.triggers:
                if not keywords or step.instruction.keyword in keywords:
                    yield step

    def steps(self, *keywords: str) -> Iterator[Step]:
        """The steps of the chain, root first, of these keywords or of all."""
        for stage in self.chain:
            for step in stage.steps:
                if not keywords or step.instruction.keyword in keywords:
                    yield step

    def reachable_steps(self, *keywords: str) -> Iterator[Step]:
        """The steps of all reachable stages in file order."""
        for stage in self.stages:
            if stage.index in self.reachable:
                for step in stage.steps:
                    if not keywords or step.instruction.keyword in keywords:
                        yield step

    def last(self, keyword: str) -> Step | None:
        """The last step of this keyword in the chain: the one in effect."""
        return max(self.steps(keyword), key=lambda step: step.instruction.line, default=None)

    def unreachable(self) -> tuple[Stage, ...]:
        """The stages that a build of the target leaves out."""
        return tuple(stage for stage in self.stages if stage.index not in self.reachable)

    def stage_named(self, text: str) -> Stage | None:
        """The stage that COPY --from means by a name or a number, or None."""
        index = self.names.get(text.lower())
        return None if index is None else self.stages[index]

    def sources(self) -> Iterator[Source]:
        """Every image that the reachable stages name: FROM, COPY --from and RUN --mount=from."""
        for stage in self.stages:
            if stage.index not in self.reachable:
                continue
            if stage.parent is None:
                word = stage.start.words[0]
                yield Source(instruction=stage.start, start=word.start, end=word.end, reference=stage.base)
            for step in stage.steps:
                for reference, start, end in _taken_from(step):
                    if reference is None or self.stage_named(reference) is None:
                        yield Source(instruction=step.instruction, start=start, end=end, reference=reference)


def is_windows(base: str | None) -> bool:
    """Whether an image is one of Windows by its name."""
    return bool(base and _WINDOWS.search(base))


def plan(
    dockerfile: Dockerfile,
    *,
    target: str | None,
    build_args: Mapping[str, str],
    subject: str,
    bases: Bases = no_bases,
) -> Plan:
    """The stages and the chain of `target`, the last stage where it is None; `bases` knows images that it builds on.

    Raises DockerfileError `dockerfile-target-unknown` where no stage has that name or number.
    """
    stages = _Builder(dockerfile, build_args, bases).run()
    # A name that is used twice means the later stage to a reader behind both.
    names = {str(stage.index): stage.index for stage in stages}
    names |= {stage.name: stage.index for stage in stages if stage.name}
    chosen = stages[-1]
    if target is not None:
        if target.lower() not in names:
            known = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
            raise DockerfileError(
                "dockerfile-target-unknown", subject, f"has no stage `{target}`", hint=f"stages of this file: {known}"
            )
        chosen = stages[names[target.lower()]]
    chain = [chosen]
    while chain[-1].parent is not None:
        chain.append(stages[chain[-1].parent])
    return Plan(stages=stages, chain=tuple(reversed(chain)), reachable=_reachable(stages, chosen, names), names=names)


def _reachable(stages: tuple[Stage, ...], target: Stage, names: Mapping[str, int]) -> frozenset[int]:
    seen: set[int] = set()
    waiting = [target.index]
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        stage = stages[index]
        if stage.parent is not None:
            waiting.append(stage.parent)
        for step in stage.steps:
            for reference, _, _ in _taken_from(step):
                if reference is not None and names.get(reference.lower(), index) < index:
                    waiting.append(names[reference.lower()])
    return frozenset(seen)


def _taken_from(step: Step) -> Iterator[tuple[str | None, int, int]]:
    """What the flags of a COPY or RUN take files from, with the flag's place."""
    for flag in step.instruction.flags:
        if flag.name == "from" and flag.value:
            yield step.expand(flag.value), flag.start, flag.end
        elif flag.name == "mount" and flag.value:
            source = mount_options(flag.value).get("from")
            if source:
                yield step.expand(source), flag.start, flag.end


def mount_options(value: str) -> dict[str, str]:
    """`type=cache,target=/x,ro` as a mapping; a word without a value maps to the empty text."""
    options = {}
    for part in value.split(","):
        name, _, text = part.partition("=")
        options[name.strip().lower()] = text.strip()
    options.setdefault("target", options.get("dst", options.get("destination", "")))
    return options


_History = dict[str, list[tuple[int, str | None]]]
_ABSENT = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """What one stage had set before its step `at`, over what it inherited.

    A view, because a file may set thousands of names: a copy for each step would take the square of that.
    """

    history: _History
    at: int
    below: _Layer | None = None

    def find(self, name: str) -> object:
        """The text of `name`, None where it is unknown, `_ABSENT` where no layer sets it."""
        layer: _Layer | None = self
        while layer is not None:
            entries = layer.history.get(name, [])
            index = bisect_right(entries, layer.at, key=lambda entry: entry[0])
            if index:
                return entries[index - 1][1]
            layer = layer.below
        return _ABSENT

    def names(self) -> set[str]:
        """All names that are set."""
        found: set[str] = set()
        layer: _Layer | None = self
        while layer is not None:
            found |= {name for name, entries in layer.history.items() if entries[0][0] <= layer.at}
            layer = layer.below
        return found


class _Variables(Mapping[str, str | None]):
    """The variables at one step: ENV wins over ARG, and what BuildKit predefines is there and unknown."""

    def __init__(self, env: _Layer, args: _Layer) -> None:
        self._layers = (env, args)

    def __getitem__(self, name: str) -> str | None:
        for layer in self._layers:
            value = layer.find(name)
            if value is None or isinstance(value, str):
                return value
        if name in PREDEFINED:
            return None
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PREDEFINED.union(*(layer.names() for layer in self._layers)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Builder:
    """Walks the instructions once, keeping what is known."""

    def __init__(self, dockerfile: Dockerfile, build_args: Mapping[str, str], bases: Bases) -> None:
        self.dockerfile = dockerfile
        self.bases = bases
        self.build_args = build_args
        self.globals: dict[str, str | None] = {}
        self.stages: list[Stage] = []
        self.walks: list[_Walk] = []
        self.names: dict[str, int] = {}

    def run(self) -> tuple[Stage, ...]:
        blocks: list[list[Instruction]] = []
        for instruction in self.dockerfile.instructions:
            if instruction.keyword == "FROM":
                blocks.append([instruction])
            elif blocks:
                blocks[-1].append(instruction)
            elif instruction.keyword == "ARG":
                self._global(instruction)
        for start, *rest in blocks:
            self.stages.append(self._stage(start, rest))
        return tuple(self.stages)

    def _global_scope(self) -> Scope:
        return Scope(values={**dict.fromkeys(PREDEFINED), **self.globals}, closed=True)

    def _global(self, instruction: Instruction) -> None:
        for pair in instruction.assignments:
            if pair.name in self.build_args:
                self.globals[pair.name] = self.build_args[pair.name]
            elif pair.value is not None:
                self.globals[pair.name] = self._global_scope().expand(pair.value, escape=self.dockerfile.escape)

    def _stage(self, start: Instruction, rest: list[Instruction]) -> Stage:
        words = [word.text for word in start.words]
        name = words[2].lower() if len(words) == 3 else None
        base = self._global_scope().expand(words[0], escape=self.dockerfile.escape) or None
        parent = self.names.get(base.lower()) if base else None
        outside = base if parent is None and base and base.lower() != "scratch" else None
        config = self.bases(outside) if outside else None
        walk = _Walk(self, parent, base, config)
        steps = tuple(walk.step(instruction) for instruction in rest)
        self.walks.append(walk)
        index = len(self.stages)
        if name:
            self.names[name] = index
        return Stage(
            index=index,
            name=name,
            start=start,
            base=base,
            parent=parent,
            steps=steps,
            config=config,
            triggers=tuple(walk.triggers),
        )


class _Walk:
    """What holds at one point of a stage, moved on instruction by instruction."""

    def __init__(
        self, builder: _Builder, parent: int | None, base: str | None, config: BaseConfig | None = None
    ) -> None:
        self.builder = builder
        self.index = len(builder.stages)
        before = builder.walks[parent] if parent is not None else None
        scratch = base is not None and base.lower() == "scratch"
        self.closed: bool = before.closed if before else scratch
        self.shell: tuple[str, ...] = before.shell if before else DEFAULT_SHELL
        self.workdir: str = before.workdir if before else ("/" if scratch else "?")
        self.at = 0
        self._inherited: _Layer | None = before.env() if before else None
        self._env: _History = {}
        self._args: _History = {}
        self.triggers: list[Step] = []
        if before is None and is_windows(base):
            self.shell = _WINDOWS_SHELL
        if config is not None:
            self._inherit(config)

    def _inherit(self, config: BaseConfig) -> None:
        # A trigger may set anything behind what the configuration says.
        self.closed = not config.triggers
        self.shell = config.shell or self.shell
        self.workdir = "?" if config.triggers else config.workdir or "/"
        self._inherited = _Layer(history={name: [(0, value)] for name, value in config.env.items()}, at=0)

    def env(self) -> _Layer:
        """What ENV has set so far, which is what a stage built on this one inherits."""
        return _Layer(history=self._env, at=self.at, below=self._inherited)

    def scope(self) -> Scope:
        """The variables at this point."""
        arguments = _Layer(history=self._args, at=self.at)
        return Scope(values=_Variables(self.env(), arguments), closed=self.closed)

    def step(self, instruction: Instruction) -> Step:
        """The step of `instruction`; what it sets holds for the next one."""
        step = Step(
            instruction=instruction,
            stage=self.index,
            scope=self.scope(),
            escape=self.builder.dockerfile.escape,
            shell=self.shell,
            workdir=self.workdir,
        )
        self.at += 1
        if instruction.trigger is not None:
            self.triggers.append(replace(step, instruction=instruction.trigger))
        elif instruction.keyword == "ARG":
            self._arg(instruction)
        elif instruction.keyword == "ENV":
            # All names of one ENV see the values from before it.
            for pair in instruction.assignments:
                self._set(self._env, pair.name, step.expand(pair.value or ""))
        elif instruction.keyword == "SHELL" and instruction.exec_form:
            self.shell = instruction.exec_form
        elif instruction.keyword == "WORKDIR":
            self.workdir = step.path(instruction.arguments) or "?"
        return step

    def _set(self, history: _History, name: str, value: str | None) -> None:
        history.setdefault(name, []).append((self.at, value))

    def _arg(self, instruction: Instruction) -> None:
        for pair in instruction.assignments:
            if pair.name in self.builder.build_args:
                self._set(self._args, pair.name, self.builder.build_args[pair.name])
            elif pair.value is not None:
                value = self.scope().expand(pair.value, escape=self.builder.dockerfile.escape)
                self._set(self._args, pair.name, value)
            elif pair.name in self.builder.globals:
                self._set(self._args, pair.name, self.builder.globals[pair.name])

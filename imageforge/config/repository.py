"""imageforge.toml: what a repository may say about how it is built, linted and run."""

from __future__ import annotations

import datetime
import errno
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from imageforge.config.command import words
from imageforge.config.names import APP_NAME, FILE_NAME, PROCESS_NAME, WEB, too_long
from imageforge.config.validation import first_detail, first_problem
from imageforge.errors import ConfigError
from linters import Policy, Profile, Severity, faults, rules
from linters import Waiver as PolicyWaiver

PROJECT_FILE = "pyproject.toml"
LARGEST = 1 << 20
"""Bytes of either that are read; nobody writes as many."""
SEVERITIES = ("off", *(severity.value for severity in Severity))
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kMGT]?)(i?)B?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of `200MB`, `1.5 GiB` or `4096`. Raises ValueError."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"`{text[:40]}` is no size, expected one such as 200MB")
    power = " kmgt".index(found[2].lower() or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


class Section(BaseModel):
    """A table of the file: no unknown keys, no change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class BuildSection(Section):
    """[build]: paths are relative to the file."""

    dockerfile: str | None = None
    context: str | None = None
    target: str | None = None
    args: dict[str, str] = Field(default_factory=dict)
    squash: Literal["auto", "from-base", "all", "none"] | None = None


class Waiver(Section):
    """One rule set aside, with a reason, until a day (inclusive); in some files alone where `paths` names them."""

    rule: str
    reason: Annotated[str, Field(min_length=3)]
    until: datetime.date
    paths: tuple[str, ...] = ()


class BudgetSection(Section):
    """[lint.budgets]: what an image may take, as 200MB or in bytes."""

    size: Annotated[int, Field(ge=0)] | None = None
    waste: Annotated[int, Field(ge=0)] | None = None

    @field_validator("size", "waste", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        return parse_size(value) if isinstance(value, str) else value


class LintSection(Section):
    """[lint] of imageforge.toml, or [tool.imageforge.lint] of pyproject.toml. `require` is how far an image must be
    proved before it is pushed: judged as it is built, or measured in a trial too."""

    profile: Literal["strict", "default", "hadolint"] = "default"
    fail_on: Literal["error", "warning", "info", "style"] = Field(default="error", alias="fail-on")
    require: Literal["image", "measured"] = "image"
    ignore_comments: bool = Field(default=True, alias="ignore-comments")
    registries: tuple[str, ...] = ()
    rules: dict[str, dict[str, bool | int | str | tuple[str, ...]]] = Field(default_factory=dict)
    budgets: BudgetSection = Field(default_factory=BudgetSection)
    waivers: tuple[Waiver, ...] = ()

    @field_validator("rules", mode="before")
    @classmethod
    def _tables(cls, value: object) -> object:
        """`IF403 = "off"` is short for `IF403 = {severity = "off"}`."""
        if not isinstance(value, dict):
            return value
        tables = {name: said if isinstance(said, dict) else {"severity": said} for name, said in value.items()}
        for name, said in tables.items():
            if said.get("severity", "off") not in SEVERITIES:
                raise ValueError(f"expected one of {', '.join(SEVERITIES)} for {name}")
        return tables

    def policy(self) -> Policy:
        """What the linters make of it."""
        severities = {
            name: None if said["severity"] == "off" else Severity(str(said["severity"]))
            for name, said in self.rules.items()
            if "severity" in said
        }
        options = {
            name: {key: value for key, value in said.items() if key != "severity"} for name, said in self.rules.items()
        }
        return Policy(
            profile=Profile(self.profile),
            severities=severities,
            options={name: said for name, said in options.items() if said},
            waivers=tuple(
                PolicyWaiver(rule=one.rule, reason=one.reason, until=one.until, paths=one.paths) for one in self.waivers
            ),
            registries=self.registries,
            size_budget=self.budgets.size,
            waste_budget=self.budgets.waste,
            require_measured=self.require == "measured",
            comments=self.ignore_comments,
        )


class ProcessSection(Section):
    """One of [app] processes; a string is its command. Without a command the image's own runs."""

    command: str | None = None
    replicas: Annotated[int, Field(ge=0, le=100)] | None = None

    @field_validator("command")
    @classmethod
    def _words(cls, value: str | None) -> str | None:
        if value is not None:
            words(value)
        return value


class AppSection(Section):
    """[app]."""

    name: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    replicas: Annotated[int, Field(ge=0, le=100)] | None = None
    health: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    release: str | None = None
    processes: dict[str, ProcessSection] = Field(default_factory=dict)

    @field_validator("release")
    @classmethod
    def _words(cls, value: str | None) -> str | None:
        if value is not None:
            words(value)
        return value

    @field_validator("processes", mode="before")
    @classmethod
    def _commands(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for name in value:
            if not PROCESS_NAME.fullmatch(name):
                raise ValueError(f"`{name}` is no name of a process: a-z, 0-9 and -, beginning with a letter")
            if name == "release":
                raise ValueError("`release` is no process: it runs once before the others, by `[app] release`")
        return {name: {"command": item} if isinstance(item, str) else item for name, item in value.items()}

    @model_validator(mode="after")
    def _agrees(self) -> AppSection:
        web = self.processes.get(WEB)
        if web is not None and web.replicas is not None and self.replicas is not None:
            raise ValueError("replicas is set here and in processes.web, expected one of the two")
        for process, section in self.processes.items():
            if process != WEB and section.command is None:
                raise ValueError(f"processes.{process} has no command; only web has one in the image")
            problem = self.name and too_long(self.name, process)
            if problem:
                raise ValueError(f"processes.{process}: {problem}")
        return self

    @field_validator("name")
    @classmethod
    def _label(cls, value: str | None) -> str | None:
        if value is not None and not APP_NAME.fullmatch(value):
            raise ValueError("expected 1 to 40 of a-z, 0-9 and -, beginning with a letter")
        return value

    @field_validator("health")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"/[!-~]*", value):
            raise ValueError("expected a path that begins with /")
        return value


INSTEAD = {
    "port": "containerPort, and the port of the Service",
    "replicas": "spec.replicas",
    "health": "a readinessProbe",
    "env": "a container's env",
    "processes": "Deployments called APP-NAME",
}
"""What Kubernetes' own files say in the place of [app]."""


class RepositoryConfig(Section):
    """The whole file. An absent file and an empty one mean the same. `manifests` is a file or a folder of Kubernetes'
    own files, which come in the place of [app]: of that only the name and the release command are left."""

    manifests: str | None = None
    build: BuildSection = Field(default_factory=BuildSection)
    lint: LintSection = Field(default_factory=LintSection)
    app: AppSection = Field(default_factory=AppSection)

    @field_validator("manifests")
    @classmethod
    def _below(cls, value: str | None) -> str | None:
        if value is not None and (not value or value.startswith(("/", "~")) or ".." in Path(value).parts):
            raise ValueError("expected a file or a folder below this file's, such as deploy/")
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> RepositoryConfig:
        both = [key for key in INSTEAD if key in self.app.model_fields_set]
        if self.manifests is not None and both:
            raise ValueError(f"[app] {both[0]} and manifests are both set; the manifests say it: {INSTEAD[both[0]]}")
        return self


def load_repository(folder: Path) -> RepositoryConfig:
    """Read `imageforge.toml` in a folder, and [tool.imageforge.lint] of a `pyproject.toml` beside it.

    Raises ConfigError (`config-invalid`) with the line where it can be told, and a suggestion for a misspelt key, rule
    or option.
    """
    file, project = folder / FILE_NAME, folder / PROJECT_FILE
    text, python = _read(file), _read(project)
    data = _toml(file, text) if text is not None else {}
    table = None if python is None or "imageforge" not in python else _table(project, python)
    if table is not None and "lint" in data:
        raise ConfigError(
            "config-invalid",
            str(project),
            f"[tool.imageforge.lint] is set here, and [lint] in {FILE_NAME}",
            hint="keep one of the two",
        )
    config = _validated(file, text or "", data, ())
    if table is not None:
        lint = _validated(project, python or "", {"lint": table}, ("tool", "imageforge")).lint
        config = config.model_copy(update={"lint": lint})
    origin = (project, python or "", ("tool", "imageforge")) if table is not None else (file, text or "", ())
    _refuse_unknown_rules(config.lint, *origin)
    return config


def _read(file: Path) -> str | None:
    try:
        return _text(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        if file.name == PROJECT_FILE:
            return None  # somebody else's file, until it speaks of us
        raise ConfigError("config-invalid", str(file), str(error), hint="expected a readable UTF-8 file") from error


def _text(file: Path) -> str:
    """The text of a regular file of a bearable size: a link of a stranger's may lead to a device or a pipe."""
    with os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(file))
        data = source.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(errno.EFBIG, f"larger than {LARGEST >> 20} MiB", str(file))
    return data.decode("utf-8").replace("\r\n", "\n")


def _toml(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config-invalid", str(file), f"not TOML: {error}", hint="mend the line") from error


def _table(file: Path, text: str) -> dict[str, Any] | None:
    """[tool.imageforge.lint], or None. A file that is no TOML is an error only where it means to speak to us."""
    try:
        data = _toml(file, text)
    except ConfigError:
        if re.search(r"^\s*\[+\s*tool\s*\.\s*imageforge\b", text, re.MULTILINE):
            raise
        return None
    tool = data.get("tool")
    ours = tool.get("imageforge") if isinstance(tool, dict) else None
    if ours is None:
        return None
    others = [key for key in ours if key != "lint"] if isinstance(ours, dict) else ["imageforge"]
    if others:
        line = _line_of(text, ["tool", "imageforge", others[0]])
        where = f"{file}:{line}" if line else str(file)
        raise ConfigError(
            "config-invalid",
            f"{where}: tool.imageforge.{others[0]}",
            f"unknown key `{others[0]}`",
            hint=f"[tool.imageforge.lint] is read here; the rest belongs in {FILE_NAME}",
        )
    lint = ours.get("lint")
    return lint if lint is None or isinstance(lint, dict) else {"": lint}


def _validated(file: Path, text: str, data: dict[str, Any], above: tuple[str, ...]) -> RepositoryConfig:
    try:
        return RepositoryConfig.model_validate(data)
    except ValidationError as error:
        path = [str(part) for part in first_detail(error)["loc"]]
        problem = first_problem(error, known=_known_keys(path))
        line = _line_of(text, [*above, *path])
        where = f"{file}:{line}" if line else str(file)
        named = ".".join([*above, problem.path])
        raise ConfigError("config-invalid", f"{where}: {named}", problem.message, hint=problem.hint) from error


def _refuse_unknown_rules(lint: LintSection, file: Path, text: str, above: tuple[str, ...]) -> None:
    if not lint.rules and not lint.waivers:
        return  # the catalog of rules is worth loading only for who names one
    for fault in faults(lint.policy(), rules()):
        path = [*above, "lint", *fault.path]
        line = _line_of(text, path)
        where = f"{file}:{line}" if line else str(file)
        raise ConfigError("config-invalid", f"{where}: {'.'.join(path)}", fault.message, hint=fault.hint)


def _known_keys(path: list[str]) -> tuple[str, ...]:
    """The keys at the level of the last one."""
    model: object = RepositoryConfig
    if path[:2] == ["app", "processes"] and len(path) > 3:
        model = ProcessSection
    elif path[:2] == ["lint", "waivers"] and len(path) > 3:
        model = Waiver
    elif path[:2] == ["lint", "budgets"] and len(path) > 2:
        model = BudgetSection
    elif len(path) > 1 and path[0] in RepositoryConfig.model_fields:
        model = RepositoryConfig.model_fields[path[0]].annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    return tuple(info.alias or name for name, info in model.model_fields.items())


def _line_of(text: str, path: list[str]) -> int | None:
    """The line that sets the key, or one above it that has it inline: TOML's reader keeps no positions, so look for it
    below its table's header."""
    table = path[0] if len(path) > 1 else None
    # pydantic names the kinds of a union in its path too; no key of ours looks like one.
    keys = [part for part in reversed(path) if not part.isdigit() and "[" not in part]
    found = (_line_of_key(text, key, table) for key in keys)
    return next((line for line in found if line is not None), None)


def _line_of_key(text: str, key: str, table: str | None) -> int | None:
    inside = table is None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.\-]+)", line)
        if header:
            inside = table is None or header[1].split(".")[0] == table
            if key in (header[1], header[1].rpartition(".")[2]):
                return number
        elif (inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line)) or (
            table and re.match(rf"\s*{re.escape(table)}\s*\.\s*{re.escape(key)}\s*=", line)
        ):
            return number
    return None

"""imageforge.toml: what a repository may say about how it is built, linted and run."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from imageforge.config.validation import first_problem
from imageforge.errors import ConfigError

FILE_NAME = "imageforge.toml"
APP_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""An app's name is the name of its Service (RFC 1035 label), and leaves room for a hash and a suffix in pod names."""


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
    """One rule set aside, with a reason, until a day (inclusive)."""

    rule: str
    reason: Annotated[str, Field(min_length=3)]
    until: datetime.date

    def holds(self, today: datetime.date) -> bool:
        """Whether the waiver still counts."""
        return today <= self.until


class LintSection(Section):
    """[lint]."""

    fail_on: Literal["error", "warning", "info", "style"] = Field(default="error", alias="fail-on")
    waivers: tuple[Waiver, ...] = ()


class AppSection(Section):
    """[app]."""

    name: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    replicas: Annotated[int, Field(ge=0, le=100)] | None = None
    health: str | None = None
    env: dict[str, str] = Field(default_factory=dict)

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


class RepositoryConfig(Section):
    """The whole file. An absent file and an empty one mean the same."""

    build: BuildSection = Field(default_factory=BuildSection)
    lint: LintSection = Field(default_factory=LintSection)
    app: AppSection = Field(default_factory=AppSection)


def load_repository(folder: Path) -> RepositoryConfig:
    """Read `imageforge.toml` in a folder.

    Raises ConfigError (`config-invalid`) with the line where it can be told, and a suggestion for a misspelt key.
    """
    file = folder / FILE_NAME
    try:
        text = file.read_text()
    except FileNotFoundError:
        return RepositoryConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config-invalid", str(file), str(error), hint="expected a readable UTF-8 file") from error
    try:
        return RepositoryConfig.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config-invalid", str(file), f"not TOML: {error}", hint="mend the line") from error
    except ValidationError as error:
        path = [str(part) for part in error.errors()[0]["loc"]]
        problem = first_problem(error, known=_known_keys(path[0] if len(path) > 1 else None))
        line = _line_of(text, path)
        where = f"{file}:{line}" if line else str(file)
        raise ConfigError("config-invalid", f"{where}: {problem.path}", problem.message, hint=problem.hint) from error


def _known_keys(table: str | None) -> tuple[str, ...]:
    field = RepositoryConfig.model_fields.get(table) if table else None
    model = field.annotation if field else RepositoryConfig
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    return tuple(info.alias or name for name, info in model.model_fields.items())


def _line_of(text: str, path: list[str]) -> int | None:
    """The line that sets the key: TOML's reader keeps no positions, so look for it below its table's header."""
    key = next((part for part in reversed(path) if not part.isdigit()), "")
    table = path[0] if len(path) > 1 else None
    inside = table is None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.\-]+)", line)
        if header:
            inside = table is None or header[1].split(".")[0] == table
            if header[1] == key:
                return number
        elif (inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line)) or (
            table and re.match(rf"\s*{re.escape(table)}\s*\.\s*{re.escape(key)}\s*=", line)
        ):
            return number
    return None

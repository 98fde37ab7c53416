"""Servers that were logged in to, and which of them is active."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from imageforge.errors import ConfigError, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One server and the token for it."""

    name: str
    url: str
    token: str = field(repr=False)


class Contexts:
    """The user's contexts: one file, readable by nobody else, since it holds tokens."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def of_user(cls, environ: Mapping[str, str] = os.environ) -> Contexts:
        """$XDG_CONFIG_HOME/imageforge, else ~/.config/imageforge; %APPDATA% on Windows."""
        base = environ.get("XDG_CONFIG_HOME") or environ.get("APPDATA")
        folder = Path(base) if base else Path.home() / ".config"
        return cls(folder / "imageforge" / "contexts.json")

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self._file.parent

    def all(self) -> tuple[Context, ...]:
        """The contexts, by name."""
        return tuple(sorted(self._read()[1].values(), key=lambda context: context.name))

    def active(self, environ: Mapping[str, str] = os.environ) -> Context | None:
        """The one that commands go to: IMAGEFORGE_CONTEXT's, else the one in use; None: this machine."""
        chosen, known = self._read()
        name = environ.get("IMAGEFORGE_CONTEXT", chosen)
        if not name:
            return None
        if name not in known:
            raise self._unknown(name, known)
        return known[name]

    def add(self, context: Context) -> None:
        """Keep a context and use it."""
        _, known = self._read()
        self._write(context.name, {**known, context.name: context})

    def use(self, name: str) -> None:
        """Use a context from now on; the empty name is this machine. Raises UsageError (`no-such-context`)."""
        _, known = self._read()
        if name and name not in known:
            raise self._unknown(name, known)
        self._write(name, known)

    def remove(self, name: str) -> None:
        """Forget a context and its token. Raises UsageError (`no-such-context`)."""
        chosen, known = self._read()
        if name not in known:
            raise self._unknown(name, known)
        self._write("" if chosen == name else chosen, {key: value for key, value in known.items() if key != name})

    def _read(self) -> tuple[str, dict[str, Context]]:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            return stored["active"], {name: Context(**value) for name, value in stored["contexts"].items()}
        except FileNotFoundError:
            return "", {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                "contexts-invalid", str(self._file), str(error), hint="mend it, or remove it and log in again"
            ) from error

    def _write(self, active: str, known: Mapping[str, Context]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._file.with_suffix(f".{os.getpid()}")
        text = json.dumps(
            {"active": active, "contexts": {name: asdict(value) for name, value in known.items()}}, indent=2
        )
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        draft.replace(self._file)

    def _unknown(self, name: str, known: Mapping[str, Context]) -> UsageError:
        return UsageError(
            "no-such-context",
            name,
            "there is no context of this name",
            hint=f"contexts: {', '.join(sorted(known)) or 'none yet: imageforge login URL'}",
        )

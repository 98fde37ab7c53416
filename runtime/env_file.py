"""Variables in a file that a container wrote for others of its pod, pure.

After the kubelet (pkg/kubelet/util/env/env_util.go): ``NAME='value'``, in single quotes and as it is written, over
several lines too; comments by ``#``. Of two of one name the first counts, and what comes after it is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

_BLANKS = " \t"


class EnvFileError(ValueError):
    """A line that is no variable; says which, and never what is in it."""


def value_in(text: str, key: str) -> str | None:
    """The value of `key`, None where the file has none. Raises EnvFileError."""
    lines = iter([line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")])
    return next((value for name, value in _variables(lines) if name == key), None)


def _variables(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    numbered = enumerate(lines, start=1)
    for at, line in numbered:
        said = line.lstrip(_BLANKS)
        if not said or said.startswith("#"):
            continue
        name, rest = _parted(at, said)
        # As a shell has it: NAME= 'value' leaves NAME empty.
        yield name, "" if rest.startswith(tuple(_BLANKS)) else _quoted(at, rest, numbered)


def _parted(at: int, said: str) -> tuple[str, str]:
    name, sign, rest = said.partition("=")
    if not sign:
        raise _wrong(at, "missing '='")
    if not name.rstrip(_BLANKS):
        raise _wrong(at, "empty variable name")
    if name.rstrip(_BLANKS) != name:
        raise _wrong(at, "whitespace before '=' is not allowed")
    return name, rest


def _quoted(began: int, rest: str, following: Iterator[tuple[int, str]]) -> str:
    """What is between single quotes, which may be on later lines."""
    if not rest.startswith("'"):
        raise _wrong(began, "value must be enclosed in single quotes")
    at, value, rest = began, "", rest[1:]
    while "'" not in rest:
        value += f"{rest}\n"
        at, rest = next(following, (0, "'"))
        if not at:
            raise EnvFileError(f"invalid environment variable format starting at line {began}: unclosed single quote")
    last, _, behind = rest.partition("'")
    if behind.lstrip(_BLANKS) and not behind.lstrip(_BLANKS).startswith("#"):
        raise _wrong(at, "unexpected content after closing quote")
    return value + last


def _wrong(line: int, why: str) -> EnvFileError:
    return EnvFileError(f"invalid environment variable format at line {line}: {why}")

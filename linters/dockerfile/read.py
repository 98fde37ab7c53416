"""A Dockerfile's bytes as text. Bytes that are not UTF-8 survive as lone surrogates, as in Python's file names."""

from __future__ import annotations

from pathlib import Path

from linters.errors import DockerfileError

# Nobody writes one of this size by hand, and a hostile one shall not keep a worker busy for long.
LARGEST = 1024 * 1024
MOST_LINES = 20_000
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path, *, subject: str) -> str:
    """The text of `path`. Raises DockerfileError where it is missing, unreadable, too large or in UTF-16."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DockerfileError(
            "dockerfile-missing",
            subject,
            "no such file, expected a Dockerfile",
            hint="make one, or name another; for an app, [build] dockerfile in imageforge.toml does",
        ) from error
    except IsADirectoryError as error:
        raise DockerfileError(
            "dockerfile-unreadable", subject, "is a directory, expected a file", hint="name the file inside it"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DockerfileError(
            "dockerfile-unreadable", subject, f"cannot be read: {reason}", hint="check the file's owner and mode"
        ) from error
    except ValueError as error:  # a NUL inside the name
        raise DockerfileError("dockerfile-unreadable", subject, f"cannot be opened: {error}") from error
    return decode(raw, subject=subject)


def decode(raw: bytes, *, subject: str) -> str:
    """The text of a Dockerfile's bytes. Raises DockerfileError as `read_text` does."""
    if len(raw) > LARGEST:
        raise DockerfileError(
            "dockerfile-unreadable", subject, f"is larger than {LARGEST // 1024 // 1024} MiB, which no Dockerfile is"
        )
    if raw.count(b"\n") > MOST_LINES:
        raise DockerfileError(
            "dockerfile-unreadable", subject, f"has more than {MOST_LINES:,} lines, which no Dockerfile has"
        )
    if raw.startswith(_UTF16_MARKS):
        raise DockerfileError(
            "dockerfile-unreadable", subject, "is UTF-16, expected UTF-8", hint="save it again as UTF-8"
        )
    return raw.decode("utf-8", errors="surrogateescape")


def printable(text: str) -> str:
    """`text` fit for a terminal or JSON: stray bytes become U+FFFD, control characters but the tab become U+FFFD."""
    clean = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in clean)

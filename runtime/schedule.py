"""When a CronJob is due: the five fields of cron as Kubernetes reads them (robfig/cron), counted by cronsim.

The two differ in what they accept, so a schedule is rewritten first: ``?`` is ``*``, ``N/step`` goes to the end of the
field, and ``*/step`` with a step of more than 1 restricts its field, so that of day of month and day of week one is
enough.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MOST_MISSED = 100

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: at for at, name in enumerate(_MONTH_NAMES, start=1)}
_DAYS = {name: at for at, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?:(?P<all>[*?])|(?P<low>[0-9a-z]+)(?:-(?P<high>[0-9a-z]+))?)(?:/(?P<step>[0-9]+))?")
_LOCAL = Path("/etc/localtime")
_REACH = 400


def schedule(text: str) -> str:
    """A schedule as cronsim takes it. Raises ValueError, which says what is wrong."""
    said = text.strip().lower()
    if said.startswith(("tz=", "cron_tz=")):
        raise ValueError("names a time zone, which belongs into spec.timeZone")
    if said.startswith("@"):
        if said not in _MACROS:
            raise ValueError(f"is none of {', '.join(_MACROS)}")
        return _MACROS[said]
    words = said.split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"has {len(words)} fields, expected 5: minute, hour, day of month, month, day of week")
    written = " ".join(
        ",".join(_part(part, *field) for part in word.split(",")) for word, field in zip(words, _FIELDS, strict=True)
    )
    try:
        next(CronSim(written, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError("is never due") from error
    return written


def zone(name: str | None) -> tzinfo:
    """A time zone by its name in IANA's database, None for the machine's own. Raises ValueError."""
    if name is None:
        return _local(os.environ.get("TZ", ""))
    if not re.fullmatch(r"[A-Za-z][-+_/A-Za-z0-9]*", name) or name == "Local":
        raise ValueError("is no name of a time zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("is not in the database of time zones") from error


def times(written: str, where: tzinfo, after: float) -> Iterator[float]:
    """The Unix times when it is due after `after`."""
    for due in CronSim(written, datetime.fromtimestamp(after, UTC).astimezone(where)):
        yield due.timestamp()


def latest(written: str, where: tzinfo, after: float, now: float) -> tuple[float | None, int]:
    """(the last time it was due after `after` and until `now`, how often it was), counted up to one more than
    `MOST_MISSED`; then the last time is found from a point near `now`."""
    due = list(islice(_until(times(written, where, after), now), MOST_MISSED + 1))
    if len(due) <= MOST_MISSED:
        return (due[-1] if due else None), len(due)
    # From nearer and nearer points in the past: the first with anything after it has the last one near.
    reach = 60.0
    while now - reach > due[-1]:
        near = list(islice(_until(times(written, where, now - reach), now), _REACH))
        if near:
            return near[-1], len(due)
        reach *= 2
    near = list(_until(times(written, where, due[-1]), now))
    return (near[-1] if near else due[-1]), len(due)


def _until(due: Iterator[float], now: float) -> Iterator[float]:
    for at in due:
        if at > now:
            return
        yield at


def _part(part: str, name: str, low: int, high: int, words: dict[str, int]) -> str:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f'has "{part}" for {name}, expected a number, a range or *')
    step = int(found["step"]) if found["step"] else 1
    if step == 0:
        raise ValueError(f"has a step of 0 for {name}")
    if found["all"]:
        return "*" if step == 1 else f"{low}-{high}/{step}"
    first = _number(found["low"], name, low, high, words)
    last = high if found["step"] else first
    if found["high"]:
        last = _number(found["high"], name, low, high, words)
    if last < first:
        raise ValueError(f'has "{part}" for {name}, whose end is before its beginning')
    return f"{first}-{last}/{step}" if last > first else str(first)


def _number(word: str, name: str, low: int, high: int, words: dict[str, int]) -> int:
    value = words.get(word, int(word) if word.isdigit() else -1)
    if not low <= value <= high:
        raise ValueError(f'has "{word}" for {name}, expected {low} to {high}')
    return value


@lru_cache(maxsize=4)
def _local(key: str) -> tzinfo:
    try:
        if key:
            return ZoneInfo(key.removeprefix(":"))
        with _LOCAL.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (KeyError, ValueError, OSError):
        return UTC

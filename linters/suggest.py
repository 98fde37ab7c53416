"""What was probably meant: the one name that a misspelt one is next to."""

from __future__ import annotations

from collections.abc import Iterable

_SHORTEST = 4
_LONG = 9
"""From here on two slips are still the same word."""


_LOOK_ALIKES = str.maketrans("OIL", "011")


def meant_rule(name: str, known: Iterable[str]) -> str | None:
    """The rule's id that is written with letters that look like digits: `IF2O1`. None where there is none."""
    plain = name[:2].upper() + name[2:].upper().translate(_LOOK_ALIKES)
    return plain if plain in set(known) else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is a slip or, of a long name, two away from `name`; None where none is or several are."""
    plain = name.lower()
    if len(plain) < _SHORTEST:
        return None
    allowed = 2 if len(plain) >= _LONG else 1
    near: dict[int, list[str]] = {}
    for other in set(known):
        if other != name and abs(len(other) - len(name)) <= allowed:
            distance = slips(plain, other.lower(), most=allowed)
            if distance is not None:
                near.setdefault(distance, []).append(other)
    for distance in sorted(near):
        return near[distance][0] if len(near[distance]) == 1 else None
    return None


def slips(one: str, other: str, *, most: int) -> int | None:
    """How many letters are to be put in, left out, replaced or swapped with their neighbour (optimal string alignment);
    None for more than `most`."""
    if abs(len(one) - len(other)) > most:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, char in enumerate(one, start=1):
        older, before = before, row
        row = [at]
        for there, letter in enumerate(other, start=1):
            cost = min(before[there] + 1, row[-1] + 1, before[there - 1] + (char != letter))
            if at > 1 and there > 1 and char == other[there - 2] and one[at - 2] == letter:
                cost = min(cost, older[there - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return None
    return row[-1] if row[-1] <= most else None

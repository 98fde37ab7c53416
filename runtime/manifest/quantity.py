"""Amounts as Kubernetes writes them: ``500m``, ``0.5``, ``128Mi``, ``1e3``.

After Kubernetes' apimachinery (pkg/api/resource/quantity.go).
"""

from __future__ import annotations

import re
from fractions import Fraction

_WRITTEN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,3})?")
_FACTORS = {
    "": Fraction(1),
    **{suffix: Fraction(10) ** (3 * power) for power, suffix in enumerate("num", start=-3)},
    **{suffix: Fraction(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
LARGEST = 2**63 - 1


def quantity(said: str | float) -> Fraction | None:
    """The amount, None for what is none or too large to be kept. A number is read as YAML wrote it."""
    if isinstance(said, bool):
        return None
    found = _WRITTEN.fullmatch(said if isinstance(said, str) else repr(said))
    if found is None:
        return None
    sign, digits, suffix = found.group(1), found.group(2), found.group(3) or ""
    factor = _FACTORS.get(suffix)
    if factor is None:
        factor = Fraction(10) ** int(suffix[1:])
    amount = Fraction(digits.removesuffix(".")) * factor
    if amount > LARGEST:
        return None
    return -amount if sign == "-" else amount


def milli(amount: Fraction) -> int:
    """In thousandths, rounded up: the finest that a CPU is given by."""
    return -(-amount * 1000 // 1)


def whole(amount: Fraction) -> int:
    """Rounded up."""
    return -(-amount // 1)


def shown_cpu(thousandths: int) -> str:
    """``2``, ``1500m``."""
    return f"{thousandths // 1000}" if thousandths % 1000 == 0 else f"{thousandths}m"


def shown_memory(size: int) -> str:
    """In the largest unit that tells it exactly, else in MiB."""
    for power, suffix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{suffix}"
    return f"{size / 1024**2:.0f}Mi" if size >= 1024**2 else str(size)

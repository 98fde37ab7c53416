"""CPU, memory, rates and an autoscaler's targets as kubectl writes them."""

from __future__ import annotations

from typing import Any

from runtime import MetricStatus

UNKNOWN = "<unknown>"


def cpu(thousandths: int | None) -> str | None:
    """`250m`."""
    return None if thousandths is None else f"{thousandths}m"


def mebibytes(size: int | None) -> str | None:
    """`128Mi`."""
    return None if size is None else f"{-(-size // 1024**2)}Mi"


def percent(part: int | None, whole: int | None) -> str | None:
    """`37%`; None where one of them is not known, or there is nothing to be a part of."""
    return None if part is None or not whole else f"{part * 100 // whole}%"


def rate(each_second: float | None) -> str | None:
    """`0`, `0.4`, `12.5`, `830`."""
    if each_second is None:
        return None
    return f"{each_second:.0f}" if each_second >= 100 or each_second == 0 else f"{each_second:.1f}"


def target_of(metric: MetricStatus) -> str:
    """`cpu: 30%/50%`, as in kubectl's column TARGETS."""
    return f"{_name(metric)}: {_current(metric) or UNKNOWN}/{_target(metric)}"


def metric_row(metric: MetricStatus) -> dict[str, Any]:
    """A line of `describe`: what it is, how much there is now and how much there should be."""
    spec = f"{metric.source} {metric.name}" + (f" of container {metric.container}" if metric.container else "")
    now = _current(metric) or UNKNOWN
    if metric.utilization is not None:
        now += f" ({_amount(metric.name, metric.average)})"
    return {"metric": spec, "current": now, "target": _target(metric)}


def _name(metric: MetricStatus) -> str:
    return f"{metric.name} of {metric.container}" if metric.container else metric.name


def _current(metric: MetricStatus) -> str | None:
    if metric.target_utilization is not None:
        return None if metric.utilization is None else f"{metric.utilization}%"
    return _amount(metric.name, metric.average)


def _target(metric: MetricStatus) -> str:
    if metric.target_utilization is not None:
        return f"{metric.target_utilization}%"
    return _amount(metric.name, metric.target_average) or UNKNOWN


def _amount(name: str, thousandths: int | None) -> str | None:
    if thousandths is None:
        return None
    if name == "cpu":
        return cpu(thousandths)
    if name == "memory":
        return mebibytes(thousandths // 1000)
    return rate(thousandths / 1000)

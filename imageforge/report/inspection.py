"""An image looked into, as data for `-o json` (inspection.schema.json beside this says what is in it) and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builders import Inspection, OpenedImage, SeenFile, Waste, printable
from imageforge.report.bill import bill_data
from imageforge.report.units import counted, megabytes

SCHEMA_VERSION = 1


def inspection_data(
    image: OpenedImage, found: Inspection, *, target: str | None, attached: Mapping[str, Any]
) -> dict[str, Any]:
    """All of it; layers are numbered from 1 at the bottom, sizes are bytes. `target` is where a push would go,
    `attached` what its build attached to it in its registry."""
    config, survey = image.source.config, found.survey
    return {
        "schema": SCHEMA_VERSION,
        "name": image.name,
        "image_id": image.image_id,
        "digest": image.manifest.digest if image.manifest else None,
        "platform": "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key)),
        "created": config.get("created"),
        "config": dict(_inner(config)),
        "annotations": dict(image.annotations),
        "attached": dict(attached),
        "base": {"name": image.base_name, "layers": found.base_layers},
        "size": survey.size,
        "wasted": survey.wasted,
        "wasted_files": survey.waste_files,
        "efficiency": round(survey.efficiency, 4),
        "layers": [
            {
                "number": number,
                "diff_id": layer.diff_id,
                "command": command,
                "size": layer.size,
                "compressed": cost.packed,
                "entries": layer.entries,
                "files": layer.files,
                "wasted": layer.wasted,
                "wastes": layer.wastes,
                "at_target": cost.present,
            }
            for number, (layer, command, cost) in enumerate(
                zip(survey.layers, found.commands, found.costs, strict=True), 1
            )
        ],
        "waste": [_waste(waste) for waste in survey.waste],
        "secrets": [_waste(waste) for waste in survey.secrets],
        "largest": [_file(file) for file in survey.largest],
        "setuid": [_file(file) for file in survey.raising],
        "push": {"to": target, "bytes": found.bill.built.push},
        "squash": {"advice": found.advice, "bill": bill_data(found.bill)},
    }


def inspection_rows(found: Inspection) -> list[Mapping[str, Any]]:
    """The layers as rows of a table."""
    return [
        {
            "layer": number,
            "size": megabytes(layer.size),
            "compressed": megabytes(cost.packed),
            "wasted": megabytes(layer.wasted) if layer.wasted else "",
            "wastes": megabytes(layer.wastes) if layer.wastes else "",
            "files": layer.files,
            "command": _short(command or ""),
            "diff_id": layer.diff_id,
        }
        for number, (layer, command, cost) in enumerate(
            zip(found.survey.layers, found.commands, found.costs, strict=True), 1
        )
    ]


def inspection_lines(found: Inspection, *, target: str | None) -> list[str]:
    """What the table of layers does not say."""
    survey, lines = found.survey, []
    lines.append(
        f"{megabytes(survey.size)} in {counted(len(survey.layers), 'layer')}, {survey.efficiency:.1%} of it seen; "
        f"{megabytes(survey.wasted)} wasted in {counted(survey.waste_files, 'file')}"
    )
    lines.append(
        f"a push{f' to {target}' if target else ''} sends {megabytes(found.bill.built.push)}; squash: {found.advice}"
    )
    lines += _section("wasted", (f"{_said(waste)}  {waste.path}" for waste in survey.waste[:10]))
    lines += _section(
        "secrets by their names, deleted and still in a layer",
        (f"{_said(waste)}  {waste.path}" for waste in survey.secrets),
    )
    lines += _section(
        "largest files",
        (f"{megabytes(file.size):>10}  layer {file.layer + 1}  {file.path}" for file in survey.largest[:10]),
    )
    lines += _section(
        "setuid and setgid", (f"{file.mode:>10o}  layer {file.layer + 1}  {file.path}" for file in survey.raising)
    )
    return lines


def _section(title: str, items: Any) -> list[str]:
    found = [f"  {item}" for item in items]
    return [f"{title}:", *found] if found else []


def _said(waste: Waste) -> str:
    return f"{megabytes(waste.size):>10}  layer {waste.layer + 1}, {waste.how} by {waste.by + 1}"


def _waste(waste: Waste) -> dict[str, Any]:
    return {
        "path": waste.path,
        "size": waste.size,
        "layer": waste.layer + 1,
        "by": waste.by + 1,
        "how": waste.how.value,
    }


def _file(file: SeenFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size,
        "layer": file.layer + 1,
        "mode": f"{file.mode:04o}",
        "uid": file.uid,
        "gid": file.gid,
    }


def _inner(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("config")
    return found if isinstance(found, dict) else {}


def _short(text: str, width: int = 70) -> str:
    one_line = printable(" ".join(text.split()))
    return one_line if len(one_line) <= width else f"{one_line[: width - 1]}…"

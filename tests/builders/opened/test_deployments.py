"""Twenty builds of the Flask example, one edit after another, shipped in four ways: what each sends to a registry.

Layers are made as BuildKit makes them: an instruction whose input is the same keeps its layer, and all that come after
one that changed are made anew, with new times. Sizes are the example's, with a hundredth of the bytes of its base and
its environment. Every image is squashed, proved and compressed by the code under test; what the registry has is a set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builders import OpenedImage, Past, SquashMode, squash_opened
from registry import OciLayout
from tests.builders.squash.layers import Item, file, folder, source_of, tar_of, whiteout

EXAMPLE = Path(__file__).parents[3] / "examples" / "02-flask-api"
WAYS = {
    "as built": SquashMode.NONE,
    "squash all": SquashMode.ALL,
    "from base": SquashMode.FROM_BASE,
    "auto": SquashMode.AUTO,
}
EDITS = (
    "first build", "api", "api", "css", "api", "requirements", "api", "config", "api", "css",
    "api", "api", "base", "api", "config", "requirements", "css", "api", "api", "api",
)  # fmt: skip


def noise(name: str, size: int) -> bytes:
    """Bytes that do not compress, the same for the same name."""
    return random.Random(name).randbytes(size)


@dataclass
class Project:
    """The sources, by what an edit changes: a count of its edits each."""

    edits: dict[str, int] = field(default_factory=dict)

    def edit(self, what: str) -> None:
        self.edits[what] = self.edits.get(what, 0) + 1

    def said(self, *names: str) -> str:
        return " ".join(f"{name}={self.edits.get(name, 0)}" for name in names)

    def source(self, name: str) -> bytes:
        """A file of the example, edited so many times."""
        path = {"api": "textstats/api.py", "config": "gunicorn.conf.py", "requirements": "requirements.txt"}.get(name)
        text = (EXAMPLE / path).read_bytes() if path else b"body { margin: 0 }\n" * 300
        return text + b"".join(b"# edit %d\n" % number for number in range(self.edits.get(name, 0)))


Instruction = tuple[tuple[str, ...], Callable[[Project], list[Item]]]


def base_of(project: Project) -> list[Instruction]:
    return [
        (("base",), lambda p: [folder("usr"), file("usr/python", noise(p.said("base"), 900_000))]),
        (("base",), lambda p: [folder("etc"), file("etc/os", p.said("base"))]),
    ]


def environment(project: Project) -> list[Item]:
    """What pip makes: libraries that stay as they are, one that each edit of the requirements replaces."""
    return [
        folder("venv"),
        file("venv/flask.so", noise("flask", 250_000)),
        file("venv/extra.so", noise(project.said("requirements"), 60_000)),
    ]


def cache(project: Project) -> Item:
    return file("cache", noise("cache" + project.said("requirements"), 200_000))


def sources(project: Project) -> list[Item]:
    return [
        folder("srv"),
        file("srv/gunicorn.conf.py", project.source("config")),
        file("srv/requirements.txt", project.source("requirements")),
        folder("srv/textstats"),
        file("srv/textstats/api.py", project.source("api")),
        file("srv/textstats/style.css", project.source("css")),
    ]


def part(*names: str) -> Callable[[Project], list[Item]]:
    return lambda project: [item for item in sources(project) if item.kind == "folder" or item.name in names]


EVERYTHING = ("api", "css", "config", "requirements")
DOCKERFILES: dict[str, list[Instruction]] = {
    # As the example has it: what changes seldom comes first.
    "in order": [
        (("requirements",), environment),
        (("config",), part("gunicorn.conf.py")),
        (("api", "css"), part("api.py", "style.css")),
    ],
    # COPY . before pip install: every edit makes everything anew.
    "copied first": [
        (EVERYTHING, sources),
        ((), environment),
        ((), lambda p: [folder("srv"), file("srv/compiled", noise(p.said(*EVERYTHING), 20_000))]),
    ],
    # A cache that a later instruction deletes, and permissions that are set on everything at the end.
    "wasteful": [
        (
            ("requirements",),
            lambda p: [*environment(p), cache(p)],
        ),
        ((), lambda p: [whiteout("cache")]),
        (EVERYTHING, sources),
        ((), lambda p: [item.but(mode=0o555) for item in (*environment(p), *sources(p))]),
    ],
    # The same waste, but all of it below what changes.
    "wasteful below": [
        (
            ("requirements",),
            lambda p: [*environment(p), cache(p)],
        ),
        ((), lambda p: [whiteout("cache"), *(item.but(mode=0o555) for item in environment(p))]),
        (EVERYTHING, sources),
    ],
}


class Builder:
    """Makes the layers of a Dockerfile, each again only where BuildKit would."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._instructions = instructions
        self._cache: dict[str, bytes] = {}

    def build(self, project: Project, number: int) -> list[bytes]:
        key, layers = "", []
        for place, (inputs, make) in enumerate(self._instructions):
            key += f"{place} {project.said(*inputs)}; "
            if key not in self._cache:
                stamp = str(1_700_000_000 + number)
                self._cache[key] = tar_of([item.but(mtime=stamp) for item in make(project)])
            layers.append(self._cache[key])
        return layers


def shipped(folder_: Path, dockerfile: str, way: str) -> list[int]:
    """The bytes that each of the pushes sends."""
    project, sent = Project(), []
    base = base_of(project)
    builder = Builder([*base, *DOCKERFILES[dockerfile]])
    registry: set[str] = set()
    history: list[Past] = []
    for number, edit in enumerate(EDITS):
        project.edit(edit)
        work = folder_ / f"{dockerfile} {way} {number}"
        layers = builder.build(project, number)
        image = OpenedImage(name="app", source=source_of(work / "layers", layers))
        result = squash_opened(
            image,
            mode=WAYS[way],
            base=image.diff_ids[: len(base)],
            layout=work / "layout",
            blobs=folder_ / "blobs",
            history=history,
            present=registry.__contains__,
        )
        assert result.bill is not None
        blobs = {blob.digest: blob.size for blob in OciLayout.open(work / "layout").manifest().layers}
        sent.append(sum(size for digest, size in blobs.items() if digest not in registry))
        # What the bill foretold, before anything was compressed.
        assert result.bill.shipped.push == pytest.approx(sent[-1], rel=0.1, abs=5000)
        registry |= blobs.keys()
        history = [Past(layers=image.diff_ids, start=result.bill.shipped.start), *history][:10]
    return sent


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_auto_is_never_the_worst_and_never_much_above_the_best(dockerfile: str, tmp_path: Path) -> None:
    sent = {way: shipped(tmp_path, dockerfile, way) for way in WAYS}
    totals = {way: sum(pushes) for way, pushes in sent.items()}
    print(f"\n{dockerfile}: " + ", ".join(f"{way} {total / 1e6:.2f} MB" for way, total in totals.items()))
    fixed = [total for way, total in totals.items() if way != "auto"]
    assert totals["auto"] < max(fixed)
    assert totals["auto"] <= 1.1 * min(fixed)
    # The first push, of the base above all, must not hide what a way costs: without it the same holds.
    later = {way: sum(pushes[1:]) for way, pushes in sent.items()}
    assert later.pop("auto") <= 1.1 * min(later.values())


def test_the_layers_are_those_of_buildkit() -> None:
    """The simulation's own rule: an edit changes its layer and those above, and nothing else does."""
    project = Project()
    builder = Builder([*base_of(project), *DOCKERFILES["in order"]])
    one = builder.build(project, 0)
    assert builder.build(project, 1) == one
    project.edit("config")
    two = builder.build(project, 2)
    assert two[:3] == one[:3]
    assert all(new != old for new, old in zip(two[3:], one[3:], strict=True))

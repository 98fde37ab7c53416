"""imageforge image gc: images and layers that nothing needs any more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from builders import EngineImage, remove_blobs, remove_image
from imageforge.cli.confirm import confirm
from imageforge.cli.image_access import CaOption, PlainOption, access, carrier
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.images.retention import Stored, left, surplus
from imageforge.pipeline.trials import clear_trials
from imageforge.report.units import counted, megabytes
from imageforge.stack import engine_choice
from imageforge.stack.registry_lock import sweeping_registry
from imageforge.stack.spare import engine_images, layers
from imageforge.stack.tidy import (
    PATIENCE,
    YOUNG_SECONDS,
    applied_images,
    elsewhere,
    remove_image_of,
    stored_images,
    tidy,
)
from imageforge.store import Apps, Database, Releases
from registry import RegistryClient

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def gc(
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, metavar="N", help="Forget all but the newest N releases of each app first."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="SIZE", help="Only until each place has no more than this, such as 20GB."),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option("--registry", metavar="NAME", help="Instead, of another registry: manifests that builds pushed."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ca: CaOption = None,
    plain_http: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Remove images and layers that nothing needs.

    Those that builds made, and that no release, applied object, container or build of the last hour has: from the local
    registry, the engine and the store of layers, the oldest first. Images of others and names that you gave stay.
    With --registry only manifests are deleted there; that registry has its own sweep.
    """
    most = size(budget) if budget else None
    here = Workplace.here()
    here.require_running()
    with here.database() as database:
        where = f" from {registry}" if registry else ""
        if keep is not None and not dry_run:
            confirm(
                f"forget all releases but the newest {keep} of each app, and remove what only they had{where}", yes=yes
            )
        elif not dry_run:
            confirm(f"remove the images and layers that nothing needs{where}", yes=yes)
        if registry is not None:
            with carrier(here, access(ca, plain_http)) as working, working.client(registry) as client:
                rows = _elsewhere(here, database, client, keep, dry_run=dry_run)
        elif dry_run:
            rows = Sweep(here, database, most, keep).look()
        else:
            _forget(database, keep)
            rows = Sweep(here, database, most).carry_out()
    _show(rows, form, dry_run=dry_run)


def _forget(database: Database, keep: int | None) -> None:
    for app in Apps(database).all() if keep is not None else ():
        assert keep is not None
        Releases(database).forget_beyond(app.name, keep)


def _show(rows: list[dict[str, object]], form: Format, *, dry_run: bool) -> None:
    show(rows, columns=("place", "image", "size"), wide=("bytes",), form=form, empty="nothing to remove")
    total = sum(int(str(row["bytes"])) for row in rows)
    if not rows:
        return
    said = "would be removed" if dry_run else "removed"
    say(f"{counted(len(rows), 'thing')} {said}, {megabytes(total)}; what they share with others stays")


def _elsewhere(
    here: Workplace, database: Database, client: RegistryClient, keep: int | None, *, dry_run: bool
) -> list[dict[str, object]]:
    if client.registry == here.settings.registry:
        raise UsageError("local-registry", client.registry, "it is this machine's own", hint="leave --registry out")
    # What only releases know of must be found before they are forgotten, and go after it.
    spare = surplus(elsewhere(database, client, applied_images(here.home), newest=keep))
    if not dry_run:
        _forget(database, keep)
    return _rows(client.registry, [image for image in spare if dry_run or remove_image_of(client, image)])


@dataclass(frozen=True, slots=True)
class Sweep:
    """One look over the three places, and what is done about it; `budget` in bytes, for each of them. A look may be as
    if all but the `newest` releases of each app were forgotten."""

    here: Workplace
    database: Database
    budget: int | None
    newest: int | None = None

    def look(self) -> list[dict[str, object]]:
        """What would go."""
        home = self.here.home
        with RegistryClient(self.here.settings.registry) as client:
            stored = stored_images(home, self.database, client, applied_images(home), newest=self.newest)
        images = surplus(stored, budget=self.budget)
        self._tell_left("registry", left(stored, images))
        return [
            *_rows("registry", images),
            *_rows("engine", (stored for stored, _ in self._engine())),
            *_rows("layers", self._layers()),
        ]

    def carry_out(self) -> list[dict[str, object]]:
        """What went. Raises Busy (`registry-busy`) where builds are at it."""
        home, settings = self.here.home, self.here.settings
        tidied = tidy(home, settings, self.database, budget=self.budget)
        if tidied.swept:
            say(f"the registry gave back {megabytes(tidied.bytes)}")
        else:
            say("the registry has nothing to remove, and was left as it is")
        self._tell_left("registry", tidied.left)
        # No build is between the look and what is done about it.
        with sweeping_registry(home, patience=PATIENCE):
            endpoint = engine_choice.answering(home, settings)
            clear_trials(home, endpoint)  # their images are in use as long as they are there
            gone = [stored for stored, image in self._engine() if remove_image(endpoint, image)]
            spare = self._layers()
            remove_blobs(home.blobs, [blob.name for blob in spare])
        return [*_rows("registry", tidied.gone), *_rows("engine", gone), *_rows("layers", spare)]

    def _engine(self) -> list[tuple[Stored, EngineImage]]:
        endpoint = engine_choice.answering(self.here.home, self.here.settings)
        found = {
            stored.name: (stored, image)
            for stored, image in engine_images(
                self.here.home,
                self.here.settings,
                self.database,
                endpoint,
                applied_images(self.here.home),
                newest=self.newest,
            )
        }
        stored = [stored for stored, _ in found.values()]
        chosen = surplus(stored, budget=self.budget)
        self._tell_left("engine", left(stored, chosen))
        return [found[stored.name] for stored in chosen]

    def _layers(self) -> tuple[Stored, ...]:
        stored = layers(self.here.home, self.here.settings, self.database, newest=self.newest)
        chosen = surplus(stored, budget=self.budget, before=time.time() - YOUNG_SECONDS)
        self._tell_left("layers", left(stored, chosen))
        return chosen

    def _tell_left(self, place: str, remains: int) -> None:
        """That a budget cannot be kept, and why."""
        if self.budget is not None and remains > self.budget:
            say(
                f"{place}: {megabytes(remains)} stay, more than {megabytes(self.budget)}: releases, young builds "
                "and images of others have them"
            )


def size(text: str) -> int:
    """Bytes, of ``20GB``, ``500 MB`` or ``4GiB``. Raises UsageError (`invalid-size`)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?i?)b?", text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError("invalid-size", text, "expected a number and a unit", hint="such as 20GB or 500MiB")
    return int(float(found[1]) * _UNITS[found[2]])


def _rows(place: str, images: Iterable[Stored]) -> list[dict[str, object]]:
    return [
        {"place": place, "image": image.name, "size": megabytes(total), "bytes": total}
        for image in images
        for total in (sum(image.parts.values()),)
    ]

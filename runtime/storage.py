"""The volumes that are not written but written to: of a replica, gone with it, and of claims, which stay.

On disk they are volumes of the engine, so that it can be elsewhere and removes what other users wrote; in memory they
lie beside the files of Secrets.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from runtime.container import Identity, Place
from runtime.engine import Engine
from runtime.errors import ConfigError, EngineError
from runtime.host_path import host_place
from runtime.labels import Label
from runtime.manifest.claim import Claim
from runtime.manifest.model import PodTemplate
from runtime.manifest.parse import is_limited
from runtime.manifest.volume import OPEN_MODE, ClaimVolume, EmptyVolume, HostVolume, ImageVolume, Volume
from runtime.naming import kept
from runtime.parts import Part, Parts
from runtime.secret_files import SecretFiles, opened_mode
from runtime.store import Store
from runtime.written_file import read_written

_NOTE = "volume "
_FILLING = "filling volume "


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """`claim` gives a claim by namespace and name, None where there is none; `host_paths` are the places that hostPath
    may show, with all that is below."""

    instance: str
    engine: Engine
    files: SecretFiles
    store: Store
    claim: Callable[[str, str], Claim | None]
    parts: Parts
    host_paths: tuple[str, ...] = ()
    filling: threading.Lock = field(default_factory=threading.Lock)

    def places(self, template: PodTemplate, who: Identity, group: int | None, image: str) -> dict[str, Place]:
        """Each volume, made where it is not there; new ones are for everybody to write, and for `group` where there is
        one. `image` is any that the engine has, such as that of the container to be made. Raises ConfigError,
        EngineError."""
        self._refuse_unmeasured(template, who.replica)
        found: dict[str, Place] = {}
        made: dict[str, str] = {}
        modes: dict[str, int] = {}
        for volume in template.volumes:
            match volume:
                case EmptyVolume(memory=True):
                    path = self.files.make_empty(
                        who.replica, volume.name, size=volume.size, group=group, mode=volume.mode
                    )
                    found[volume.name] = Place(source=str(path.resolve()))
                case EmptyVolume():
                    name = empty_volume(self.instance, who.replica, volume.name)
                    made |= self._make(name, who.namespace, {Label.REPLICA: who.replica})
                    modes[name] = volume.mode
                    found[volume.name] = Place(source=name, is_volume=True)
                case ClaimVolume():
                    name = claim_volume(self.instance, who.namespace, volume.claim)
                    self._clone(self._claimed(who.namespace, volume.claim), name, image, who, group)
                    made |= self._make(name, who.namespace, {Label.CLAIM: volume.claim})
                    found[volume.name] = Place(source=name, is_volume=True, read_only=volume.read_only)
                case ImageVolume():
                    name = empty_volume(self.instance, who.replica, volume.name)
                    self._fill(name, volume.image, who)
                    found[volume.name] = Place(source=name, is_volume=True, read_only=True)
                case HostVolume():
                    path = host_place(volume, self.host_paths, self.engine.host)
                    found[volume.name] = Place(source=str(path))
                case _:
                    pass
        if made:
            # A volume of the engine is root's alone; it is opened once, and what its users do to it later stays.
            # The container for that is one that nothing owns, should the controller be killed meanwhile.
            labels: dict[str, str] = {Label.INSTANCE: who.instance, Label.REPLICA: who.replica}
            opened = {name: opened_mode(modes.get(name, OPEN_MODE), group) for name in made}
            self.engine.open_volumes(image, opened, labels, group=group)
            for name, since in made.items():
                self.store.put_note(f"{_NOTE}{name}", since)
        return found

    def _refuse_unmeasured(self, template: PodTemplate, replica: str) -> None:
        if is_limited(template) and not (self.engine.host.startswith("unix://") and os.geteuid() == 0):
            raise _not_measured(replica)

    def part(self, place: Place, volume: Volume, path: str, replica: str, container: str, number: int) -> Place:
        """What is at `path` in a volume, for the mount with this `number` of a container. Raises ConfigError,
        EngineError."""
        shown = self.parts.show(
            Part(
                replica=replica,
                container=container,
                number=number,
                volume=volume.name,
                folder=self._folder(place),
                path=path,
                is_made=not isinstance(volume, ImageVolume),
            )
        )
        return Place(source=str(shown), read_only=place.read_only)

    def written(self, place: Place, volume: str, path: str) -> bytes | None:
        """What a container wrote to a volume; None where nothing is at `path`. Raises ConfigError, EngineError."""
        if not self.engine.host.startswith("unix://"):
            raise ConfigError("file-not-read", f'volume "{volume}"', "the engine is elsewhere, and so are its volumes")
        return read_written(self._folder(place), path, volume)

    def _folder(self, place: Place) -> Path:
        """Where it is on this host."""
        if not place.is_volume:
            return Path(place.source)
        _, found = self.engine.places((), [place.source])
        if place.source not in found:
            raise EngineError("no-volume", place.source, "the volume is gone")
        return found[place.source].resolve()

    def leave_memory(self, replica: str) -> None:
        """All of the replica has ended, and it stays to be looked at: its files in memory go, and the parts of volumes,
        which would hold that memory."""
        self.parts.remove(replica)
        self.files.remove(replica)

    def forget(self, template: PodTemplate, replica: str) -> None:
        """The replica is no more: what lived as long as it goes. Raises EngineError."""
        self.parts.remove(replica)
        for volume in template.volumes:
            if isinstance(volume, ImageVolume) or (isinstance(volume, EmptyVolume) and not volume.memory):
                self._remove(empty_volume(self.instance, replica, volume.name))
        self.files.remove(replica)

    def remove_claim(self, namespace: str, name: str) -> bool:
        """Whether the data of a claim are gone; False while a container still has them. Raises EngineError."""
        return self._remove(claim_volume(self.instance, namespace, name))

    def sweep(self, replicas: Collection[str]) -> None:
        """Remove the volumes of all replicas but these. Raises EngineError."""
        self.parts.sweep(replicas)
        for name, labels in self.engine.volumes(self.instance).items():
            if Label.REPLICA in labels and labels[Label.REPLICA] not in replicas:
                self._remove(name)

    def _claimed(self, namespace: str, name: str) -> Claim:
        found = self.claim(namespace, name)
        if found is None:
            raise not_claimed(namespace, name)
        return found

    def _clone(self, claim: Claim, name: str, image: str, who: Identity, group: int | None) -> None:
        """Before its first use, the volume of a claim gets what another has; one that nobody has used has nothing."""
        if not claim.source or self.store.note(f"{_NOTE}{name}") is not None:
            return
        self._claimed(claim.namespace, claim.source)
        source = claim_volume(self.instance, claim.namespace, claim.source)
        if self.store.note(f"{_NOTE}{source}") is None:
            return
        labels: dict[str, str] = {Label.INSTANCE: who.instance, Label.REPLICA: who.replica}
        with self.filling:
            if self.store.note(f"{_FILLING}{name}") is not None:
                # What was copied before the controller was killed, and nobody has used.
                self.engine.remove_volume(name, self.instance)
            elif name in self.engine.volumes(self.instance):
                # It has data of its own, whatever this store knows of that.
                return
            self.store.put_note(f"{_FILLING}{name}", "")
            for made, since in self._make(name, claim.namespace, {Label.CLAIM: claim.name}).items():
                self.engine.fill_volume(made, image, labels, source=source)
                self.engine.open_volumes(image, {made: opened_mode(OPEN_MODE, group)}, labels, group=group)
                self.store.put_note(f"{_NOTE}{made}", since)
            self.store.drop_note(f"{_FILLING}{name}")

    def _fill(self, name: str, image: str, who: Identity) -> None:
        """A volume of its own with the files of an image, which somebody may remove while it is used. One that was not
        filled to its end is made anew."""
        labels: dict[str, str] = {Label.INSTANCE: who.instance, Label.REPLICA: who.replica}
        # Several containers of a replica begin at once.
        with self.filling:
            if self.store.note(f"{_NOTE}{name}") is None:
                self.engine.remove_volume(name, self.instance)
            for made, since in self._make(name, who.namespace, {Label.REPLICA: who.replica}).items():
                self.engine.fill_volume(made, image, labels)
                self.store.put_note(f"{_NOTE}{made}", since)

    def _make(self, name: str, namespace: str, labels: dict[str, str]) -> dict[str, str]:
        """The name and the time when it was made, where the volume is still to be opened."""
        since = self.engine.ensure_volume(name, {Label.INSTANCE: self.instance, Label.NAMESPACE: namespace, **labels})
        # One that was made again since it was opened has another time.
        return {} if self.store.note(f"{_NOTE}{name}") == since else {name: since}

    def _remove(self, name: str) -> bool:
        gone = self.engine.remove_volume(name, self.instance)
        if gone:
            self.store.drop_note(f"{_NOTE}{name}")
            self.store.drop_note(f"{_FILLING}{name}")
        return gone


def empty_volume(instance: str, replica: str, name: str) -> str:
    """The engine's name for an emptyDir on disk."""
    return f"imageforge-{instance}-{replica}_{name}"


def _not_measured(replica: str) -> ConfigError:
    return ConfigError(
        "disk-not-measured",
        replica,
        "its limits of the disk cannot be held: only root, with an engine of this host, sees what is taken of it",
        hint="run the service as root, or take the sizeLimit and the limits of ephemeral-storage out",
    )


def claim_volume(instance: str, namespace: str, claim: str) -> str:
    """The engine's name for the volume of a claim."""
    return f"imageforge-{instance}-{namespace}_{kept(claim)}"


def not_claimed(namespace: str, name: str) -> ConfigError:
    """The error for a claim that is not there, in a cluster's words."""
    return ConfigError(
        "claim-not-found",
        f"PersistentVolumeClaim {namespace}/{name}",
        f'persistentvolumeclaim "{name}" not found',
        hint="apply it; the replica then starts by itself",
    )

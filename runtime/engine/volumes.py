"""Volumes: made, opened to a group, filled, removed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence

import docker.types

from runtime.engine.connection import Connection
from runtime.errors import EngineError
from runtime.labels import Label

_OPENED = "/imageforge-volumes"


class Volumes(Connection):
    """The engine's volumes."""

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> str:
        """Make the volume unless it is there; when it was made, as the engine tells it. Raises EngineError
        ``volume-taken`` for one that is not ours."""
        with self.translated(f"volume {name}") as api:
            found = api.create_volume(name, labels=dict(labels))
        if (found.get("Labels") or {}).get(Label.INSTANCE) != labels[Label.INSTANCE]:
            raise EngineError(
                "volume-taken", name, "a volume of this name is there and not ours", hint=f"docker volume rm {name}"
            )
        return str(found.get("CreatedAt") or "")

    def open_volumes(
        self, image: str, modes: Mapping[str, int], labels: Mapping[str, str], *, group: int | None
    ) -> None:
        """Give volumes their modes, by way of a container that never runs; with `group` they are that group's. Raises
        EngineError."""
        with self.translated(image) as api:
            host_config = api.create_host_config(
                network_mode="none",
                mounts=[
                    docker.types.Mount(target=f"{_OPENED}/{at}", source=name, type="volume", no_copy=True)
                    for at, name in enumerate(modes)
                ],
            )
            made = api.create_container(
                image,
                entrypoint=["/never-run"],
                labels=dict(labels),
                host_config=host_config,
                healthcheck=docker.types.Healthcheck(test=["NONE"]),
            )
            try:
                api.put_archive(made["Id"], _OPENED, _open_folders(tuple(modes.values()), group))
            finally:
                api.remove_container(made["Id"], force=True, v=True)

    def fill_volume(self, name: str, image: str, labels: Mapping[str, str], *, source: str = "") -> None:
        """Copy all files of an image, or of the volume `source`, to a volume, by way of two containers that never run.
        Raises EngineError."""
        with self.translated(image) as api:
            made: list[str] = []
            try:
                for volume in (source, name):
                    mount = docker.types.Mount(target=_OPENED, source=volume, type="volume", no_copy=True)
                    mounts = [mount] if volume else []
                    container = api.create_container(
                        image,
                        entrypoint=["/never-run"],
                        labels=dict(labels),
                        host_config=api.create_host_config(network_mode="none", mounts=mounts),
                        healthcheck=docker.types.Healthcheck(test=["NONE"]),
                    )
                    made.append(container["Id"])
                files, _ = api.get_archive(made[0], f"{_OPENED if source else ''}/.")
                api.put_archive(made[1], _OPENED, files)
            finally:
                for container_id in made:
                    api.remove_container(container_id, force=True, v=True)

    def remove_volume(self, name: str, instance: str) -> bool:
        """Whether the instance's volume is gone; False while something still uses it."""
        try:
            with self.translated(f"volume {name}") as api:
                found = api.inspect_volume(name)
                if (found.get("Labels") or {}).get(Label.INSTANCE) == instance:
                    api.remove_volume(name)
        except EngineError as error:
            if error.retryable:
                raise
            return error.code == "not-found"
        return True

    def volumes(self, instance: str) -> dict[str, dict[str, str]]:
        """The labels of the instance's volumes, by name."""
        with self.translated("volumes") as api:
            found = api.volumes(filters={"label": f"{Label.INSTANCE}={instance}"})["Volumes"] or []
        return {item["Name"]: item.get("Labels") or {} for item in found}


def _open_folders(modes: Sequence[int], group: int | None) -> bytes:
    """A tar of folders with the modes that the volumes are to have."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for at, mode in enumerate(modes):
            entry = tarfile.TarInfo(str(at))
            entry.type = tarfile.DIRTYPE
            entry.mode = mode
            entry.gid = group or 0
            archive.addfile(entry)
    return raw.getvalue()

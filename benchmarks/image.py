"""The image of the benchmark: Debian, Python, pip and a compiler, about 750 MB in five layers, a quarter of it waste.

Built on a bootstrapped base, not downloaded; its waste is what Dockerfiles make: lists and archives of packages that a
later step removes, and a tree whose modes a later step sets once more, which writes every file of it anew.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from builders import BuildRequest, Endpoint, build, engine_facts, find_build_client, has_image, remove_tag
from tests.e2e.conftest import Forge

NAME = "imageforge.invalid/benchmark"
"""A name that no registry can have."""
BASE, BUILT, CHANGED, FILES = (f"{NAME}:{tag}" for tag in ("base", "built", "changed", "files"))
ABOVE = 4
"""Layers above the base."""
COUNT = 100_000
DEBIAN = "imageforge/debian:bookworm"

DOCKERFILE = rf"""FROM {BASE}
RUN rm -f /etc/apt/apt.conf.d/docker-clean && apt-get -o Acquire::Languages=none update && \
    apt-get install -y --no-install-recommends python3 python3-pip python3-venv python3-dev git && apt-get clean
RUN apt-get install -y --no-install-recommends gcc g++ make
RUN apt-get clean && rm -rf /var/lib/apt/lists/* && chmod -R a+rX /usr/lib/python3
COPY app /srv/app
"""
MANY = f"""FROM {BASE}
RUN for d in $(seq 100); do mkdir -p /srv/$d; cd /srv/$d; for f in $(seq {COUNT // 100}); do echo $d $f > $f; done; done
RUN rm -r /srv/1 /srv/2 && chmod -R a+rX /srv/3 /srv/4 /srv/5
"""


@dataclass(frozen=True, slots=True)
class Images:
    """What makes them, and removes them, in an engine."""

    endpoint: Endpoint
    folder: Path

    def make(self) -> None:
        """Build them; or take them from the folder that BENCH_CACHE names, where an earlier run left them
        there."""
        cache = os.environ.get("BENCH_CACHE")
        kept = Path(cache) / "images.tar" if cache else None
        if kept and kept.exists():
            self.docker("load", "-i", str(kept))
            return
        forge = Forge(self.folder / "base", self.endpoint.host)
        had = has_image(self.endpoint, DEBIAN)
        forge.ok("base", "create", "debian:bookworm")
        self.docker("tag", DEBIAN, BASE)
        if not had:
            self.docker("rmi", DEBIAN)
        for tag, dockerfile, line in (
            (BUILT, DOCKERFILE, "first"),
            (CHANGED, DOCKERFILE, "second"),
            (FILES, MANY, ""),
        ):
            self._build(tag, dockerfile, line)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(".part")
            self.docker("save", "-o", str(partial), BASE, BUILT, CHANGED, FILES)
            partial.replace(kept)

    def remove(self) -> None:
        """As far as they were made."""
        for tag in (CHANGED, FILES, BUILT, BASE):
            if has_image(self.endpoint, tag):
                remove_tag(self.endpoint, tag)

    def docker(self, *words: str) -> str:
        """The client that fits the engine, to its end."""
        command = [self.client, *words]
        return subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True).stdout

    @property
    def client(self) -> str:
        """Its path."""
        return str(find_build_client(self.endpoint, engine_facts(self.endpoint)).path)

    @property
    def environ(self) -> dict[str, str]:
        """With the engine in it."""
        return {**os.environ, "DOCKER_HOST": self.endpoint.host}

    def _build(self, tag: str, dockerfile: str, line: str) -> None:
        context = self.folder / "context"
        (context / "app").mkdir(parents=True, exist_ok=True)
        (context / "app" / "main.py").write_text(f'print("{line}")\n')
        (context / "Dockerfile").write_text(dockerfile)
        request = BuildRequest(context=context, dockerfile=context / "Dockerfile", tag=tag)
        client = find_build_client(self.endpoint, engine_facts(self.endpoint))
        build(request, endpoint=self.endpoint, client=client, on_event=lambda _: None)

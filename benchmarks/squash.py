"""Squashing an image that rewrites and deletes what lower layers hold, against the engine's own save of it.

Needs a Docker Engine with imageforge/python:3.11 in it (`imageforge base create python:3.11`) and a `docker` on PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.pairs import Pair, measure
from builders import (
    BuildRequest,
    BuiltImage,
    Endpoint,
    SquashMode,
    build,
    engine_facts,
    find_build_client,
    find_engine,
    remove_tag,
    squash,
)

BASE = "imageforge/python:3.11"
TAG = "imageforge.invalid/benchmark:squash"
DOCKERFILE = f"""FROM {BASE}
RUN mkdir /srv/data && for i in $(seq 2000); do echo $i > /srv/data/$i; done
RUN head -c 40000000 /dev/urandom > /srv/blob
RUN for i in $(seq 1000); do rm /srv/data/$i; done
RUN head -c 40000000 /dev/urandom > /srv/blob
USER 10001
CMD ["true"]
"""


def squash_pairs() -> list[Pair]:
    """Medians and ratios."""
    endpoint = find_engine(private_socket=None)
    client = find_build_client(endpoint, engine_facts(endpoint))
    with tempfile.TemporaryDirectory(prefix="ifg-bench-", dir="/var/tmp") as folder:
        work = Path(folder)
        (work / "context").mkdir()
        (work / "context" / "Dockerfile").write_text(DOCKERFILE)
        request = BuildRequest(context=work / "context", dockerfile=work / "context" / "Dockerfile", tag=TAG)
        image = build(request, endpoint=endpoint, client=client, on_event=lambda _: None)
        try:
            return [_against_save(image, endpoint, work)]
        finally:
            remove_tag(endpoint, TAG)


def _against_save(image: BuiltImage, endpoint: Endpoint, work: Path) -> Pair:
    def ours() -> None:
        squash(
            image,
            endpoint=endpoint,
            base_image=BASE,
            mode=SquashMode.FROM_BASE,
            layout=work / "layout",
            blobs=work / "blobs",
            scratch=work / "scratch",
        )
        shutil.rmtree(work / "layout")

    def theirs() -> None:
        command = ["docker", "save", "-o", str(work / "saved.tar"), TAG]
        subprocess.run(command, check=True, env={"DOCKER_HOST": endpoint.host, "PATH": "/usr/bin:/usr/local/bin"})
        (work / "saved.tar").unlink()

    return measure("read, squash, prove", "docker save alone", ours, theirs)

"""Images as their users carry them: from the built image in the engine to all bytes in an empty registry.

The peers are docker-squash 1.2.2 with `docker push`, `docker push` alone, skopeo, and `docker pull`. All of a round
runs in turn, each with a registry and a home of its own, and every ratio is of one round. What imageforge does is done
by its command line, a process of its own each time.

Lines that are of no peer are of what nobody can do without: to pack layers and send them to a registry, which checks
them; to have the engine save an image; to write a layer's files to the engine's disk.

BENCH_ROUNDS is how many rounds (5), BENCH_CACHE a folder where the image and docker-squash stay
for the next run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.command import Cost, Meter
from benchmarks.figure import Figure
from benchmarks.image import ABOVE, BASE, BUILT, CHANGED, COUNT, FILES, NAME, Images
from benchmarks.pairs import Pair
from builders import Endpoint, engine_facts, find_engine, inspect_image
from builders.gunzip import unpack_file
from builders.squash.difference import entries
from builders.squash.merge import write_layer
from builders.squash.run import read_image
from builders.squash.survey import survey_trees
from registry import OciLayout, RegistryClient
from tests.e2e.conftest import ROOT
from tests.plain_registry import plain_registry
from tests.ports import unused_port

DOCKER_SQUASH = "docker-squash==1.2.2"
SEND, PACK = Path(__file__).with_name("send.sh"), Path(__file__).with_name("pack.sh")
HIDDEN = 'mount -t tmpfs none "$1" && shift && exec "$@"'
"""Runs a command that finds an empty folder where the engine keeps its images, as on another machine."""

SQUASH, SQUASH_SAVE, SQUASH_PEER = "squash, push", "squash, push, by docker save", "docker-squash, docker push"
PUSH, PUSH_SAVE, PUSH_DOCKER, PUSH_SKOPEO = "push", "push, by docker save", "docker push", "skopeo copy"
WARM, WARM_DOCKER = "push, layers known, base there", "docker push, base there"
AGAIN = "squash, push, after one line"
BACK, BACK_PEER = "squashed, into the engine", "docker pull, base there"
SENT_WARM, SENT_AGAIN = "the layers above the base, by curl", "the layer of the second squash, by curl"
UNPACKED = "the squashed layer, by tar -x"
PACKED, PACKED_SQUASH = "the layers, by igzip and curl", "the squashed layers, by igzip and curl"
SAVED = "docker save, thrown away"
SMALL, MANY = "squash of the base alone", "squash of 100,000 files"

LINES = (
    (SQUASH, SQUASH_PEER),
    (SQUASH_SAVE, SQUASH_PEER),
    (PACKED_SQUASH, SQUASH_PEER),
    (SAVED, SQUASH_PEER),
    (PUSH, PUSH_DOCKER),
    (PUSH_SAVE, PUSH_DOCKER),
    (PACKED, PUSH_DOCKER),
    (SAVED, PUSH_DOCKER),
    (PUSH, PUSH_SKOPEO),
    (PUSH_SAVE, PUSH_SKOPEO),
    (WARM, PUSH_DOCKER),
    (WARM, WARM_DOCKER),
    (SENT_WARM, PUSH_DOCKER),
    (AGAIN, SQUASH),
    (SENT_AGAIN, SQUASH),
    (BACK, BACK_PEER),
    (UNPACKED, BACK_PEER),
)
"""Of which costs the ratios are."""
PEERS = (SQUASH_PEER, PUSH_DOCKER, PUSH_SKOPEO, WARM_DOCKER, BACK_PEER)
FLOORS = (SENT_WARM, SENT_AGAIN, UNPACKED, PACKED, PACKED_SQUASH, SAVED)

Round = dict[str, Cost]


def images_figures() -> tuple[list[Figure], list[Pair]]:
    """Ratios, and what each command took."""
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    with tempfile.TemporaryDirectory(prefix="ifg-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        images = Images(find_engine(private_socket=None), folder)
        try:
            images.make()
            size = inspect_image(BUILT, endpoint=images.endpoint).size
            bench = _Bench(images=images, folder=folder, peer=_docker_squash(folder))
            # What comes first meets a machine that is busy writing what came last: each other round from behind.
            found = [bench.round(backwards=bool(number % 2)) for number in range(rounds)]
            trees = [_entries_a_second(images.endpoint, folder) for _ in range(rounds)]
        finally:
            images.remove()
    pairs = [_pair(ours, theirs, found) for ours, theirs in LINES]
    image = Figure(name="the image", value=f"{size / 1e6:.0f} MB", of=f"{ABOVE + 1} layers, {rounds} rounds")
    return [image, *(_figure(name, found) for name in found[0]), _speed(found), _tree(trees), _memory(found)], pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bench:
    images: Images
    folder: Path
    peer: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def round(self, *, backwards: bool) -> Round:
        """All of it once."""
        parts: list[Callable[[], Round]] = [
            self._squash,
            self._squash_save,
            self._squash_peer,
            self._push,
            self._push_save,
            self._push_docker,
            self._push_docker_warm,
            self._push_skopeo,
            self._others,
        ]
        found: Round = {}
        for part in reversed(parts) if backwards else parts:
            found |= part()
        for name, cost in found.items():
            sys.stderr.write(f"{name}: {cost.seconds:.2f} s, {cost.processor:.2f} s of processor\n")
        return found

    def _squash(self) -> Round:
        """And what follows on it: the same after a change, and the way back into the engine."""
        with self._place() as (home, registry):
            one, two = f"docker://{registry}/app:1", f"docker://{registry}/app:2"
            first = self._ours(home, *_from_base(BUILT, one))
            again = self._ours(home, *_from_base(CHANGED, two))
            sent = self._sent(home, f"{registry}/app:2", skip=1)
            packed = self._packed(home, f"{registry}/app:1")
            layout = home / "squashed"
            self._ours(home, *_from_base(BUILT, f"oci:{layout}"))
            with self._removed(f"{NAME}:back"):
                back = self._ours(home, "image", "copy", f"oci:{layout}", f"docker-daemon:{NAME}:back")
            # An engine that pulls releases knows the blob that its base is there; ours has its base from elsewhere.
            with self._removed(f"{registry}/app:2"):
                self.images.docker("pull", "--quiet", f"{registry}/app:2")
            with self._removed(f"{registry}/app:1"):
                pulled = self._measured([self.images.client, "pull", "--quiet", f"{registry}/app:1"])
            unpacked = self._unpacked(OciLayout.open(layout))
        return {
            SQUASH: first,
            AGAIN: again,
            SENT_AGAIN: sent,
            PACKED_SQUASH: packed,
            BACK: back,
            BACK_PEER: pulled,
            UNPACKED: unpacked,
        }

    def _sent(self, home: Path, image: str, *, skip: int) -> Cost:
        """The layers of an image in a registry but for its first ones, sent to an empty one out of our store."""
        files = _packed_layers(home, image)[skip:]
        with self._registry() as other:
            return self._measured([str(SEND), f"http://{other}/v2/app", *map(str, files)])

    def _packed(self, home: Path, image: str) -> Cost:
        """The plain layers of an image in a registry, packed anew and sent to an empty one."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name, self._registry() as other:
            plain, packed = Path(name) / "plain", Path(name) / "packed"
            plain.mkdir()
            packed.mkdir()
            for blob in _packed_layers(home, image):
                _unpack(blob, plain / blob.name)
            files = map(str, plain.iterdir())
            return self._measured([str(PACK), f"http://{other}/v2/app", str(packed), *files])

    def _unpacked(self, layout: OciLayout) -> Cost:
        """The last layer's files, written where the engine keeps its own."""
        plain, files = self.folder / "layer.tar", self.folder / "files"
        _unpack(layout.blob_path(layout.manifest().layers[-1].digest), plain)
        files.mkdir()
        try:
            return self._measured(["tar", "-xf", str(plain), "-C", str(files)])
        finally:
            shutil.rmtree(files)
            plain.unlink()

    def _squash_save(self) -> Round:
        with self._place() as (home, registry):
            words = _from_base(BUILT, f"docker://{registry}/app:1")
            ours = self._ours(home, *words, before=self._without_store())
        command = ["sh", "-c", 'exec "$@" > /dev/null', "sh", self.images.client, "save", BUILT]
        return {SQUASH_SAVE: ours, SAVED: self._measured(command)}

    def _squash_peer(self) -> Round:
        with self._place() as (home, registry), self._removed(f"{registry}/app:1"):
            command = [self.peer, "-f", str(ABOVE), "-t", f"{registry}/app:1", "--tmp-dir", str(home / "tmp"), BUILT]
            squashed = self._measured(command)
            return {SQUASH_PEER: squashed + self._measured([self.images.client, "push", f"{registry}/app:1"])}

    def _push(self) -> Round:
        """And once more to a registry that has the base, when all layers are known."""
        with self._place() as (home, registry):
            first = self._ours(home, "image", "push", f"docker-daemon:{BUILT}", f"docker://{registry}/app:1")
            with self._registry() as other:
                self._ours(home, "image", "push", f"docker-daemon:{BASE}", f"docker://{other}/app:base")
                warm = self._ours(home, "image", "push", f"docker-daemon:{BUILT}", f"docker://{other}/app:1")
            sent = self._sent(home, f"{registry}/app:1", skip=1)
            packed = self._packed(home, f"{registry}/app:1")
        return {PUSH: first, WARM: warm, SENT_WARM: sent, PACKED: packed}

    def _push_save(self) -> Round:
        with self._place() as (home, registry):
            words = ("image", "push", f"docker-daemon:{BUILT}", f"docker://{registry}/app:1")
            return {PUSH_SAVE: self._ours(home, *words, before=self._without_store())}

    def _push_docker(self) -> Round:
        with self._place() as (_, registry), self._tagged(BUILT, f"{registry}/app:1") as name:
            return {PUSH_DOCKER: self._measured([self.images.client, "push", name])}

    def _push_docker_warm(self) -> Round:
        with self._place() as (_, registry), self._tagged(BASE, f"{registry}/app:base") as base:
            self.images.docker("push", base)
            with self._tagged(BUILT, f"{registry}/app:1") as name:
                return {WARM_DOCKER: self._measured([self.images.client, "push", name])}

    def _push_skopeo(self) -> Round:
        with self._place() as (_, registry):
            command = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false"]
            command += ["--src-daemon-host", self.images.endpoint.host]
            return {PUSH_SKOPEO: self._measured([*command, f"docker-daemon:{BUILT}", f"docker://{registry}/app:1"])}

    def _others(self) -> Round:
        """What has no peer: an image that is small, and one of many files, on one core."""
        core = str(min(os.sched_getaffinity(0)))
        with self._place() as (home, _):
            small = self._ours(home, "squash", f"docker-daemon:{BASE}", f"oci:{home / 'small'}", "--all")
            words = _from_base(FILES, f"oci:{home / 'many'}")
            many = self._ours(home, *words, before=("taskset", "-c", core))
        return {SMALL: small, MANY: many}

    def _ours(self, home: Path, *words: str, before: Sequence[str] = ()) -> Cost:
        bytecode = str(self.folder / "bytecode")
        changes = {"IMAGEFORGE_HOME": str(home / "home"), "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode}
        environ = {**self.images.environ, **changes}
        # An installed program is compiled once, not in each run.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        ours = [sys.executable, "-m", "imageforge", "--no-input"]
        if not Path(bytecode).exists():
            for warm in (("squash",), ("image", "push"), ("image", "copy")):
                subprocess.run([*ours, *warm, "--help"], env=environ, check=True, stdout=subprocess.DEVNULL)
        return self._measured([*before, *ours, *words], environ)

    def _measured(self, command: Sequence[str], environ: dict[str, str] | None = None) -> Cost:
        # Nobody pays for what others have left to write.
        os.sync()
        return Meter.of_engine(self.images.endpoint.host).run(command, environ or self.images.environ)

    def _without_store(self) -> tuple[str, ...]:
        root = engine_facts(self.images.endpoint).root_dir
        return ("unshare", "--mount", "sh", "-c", HIDDEN, "sh", f"{root}/image")

    @contextlib.contextmanager
    def _place(self) -> Iterator[tuple[Path, str]]:
        """A folder that is empty, and an empty registry."""
        home = self.folder / f"place-{next(self.numbers)}"
        home.mkdir()
        try:
            with self._registry() as registry:
                yield home, registry
        finally:
            shutil.rmtree(home)

    @contextlib.contextmanager
    def _registry(self) -> Iterator[str]:
        folder = self.folder / f"registry-{next(self.numbers)}"
        folder.mkdir()
        try:
            with plain_registry(folder, unused_port()) as address:
                yield address
        finally:
            shutil.rmtree(folder)

    @contextlib.contextmanager
    def _tagged(self, image: str, name: str) -> Iterator[str]:
        self.images.docker("tag", image, name)
        with self._removed(name):
            yield name

    @contextlib.contextmanager
    def _removed(self, name: str) -> Iterator[None]:
        """Has the engine forget a name in the end, and what has no other."""
        try:
            yield
        finally:
            command = [self.images.client, "rmi", name]
            subprocess.run(command, env=self.images.environ, capture_output=True, check=False)


def _from_base(image: str, target: str) -> tuple[str, ...]:
    return ("squash", f"docker-daemon:{image}", target, "--from-base", "--base", f"docker-daemon:{BASE}")


def _packed_layers(home: Path, image: str) -> list[Path]:
    """The blobs of an image's layers in the store of a home that pushed it, the lowest first."""
    registry, _, rest = image.partition("/")
    repository, _, tag = rest.partition(":")
    with RegistryClient(registry) as client:
        layers = json.loads(client.get_manifest(repository, tag).raw)["layers"]
    return [next((home / "home").rglob(layer["digest"].partition(":")[2])) for layer in layers]


def _unpack(blob: Path, plain: Path) -> None:
    with plain.open("wb") as file:
        for piece in unpack_file(blob):
            file.write(piece)


def _docker_squash(folder: Path) -> str:
    """The program, in a virtual environment of its own."""
    place = Path(os.environ.get("BENCH_CACHE") or folder) / "docker-squash"
    program = place / "bin" / "docker-squash"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        command = [str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", DOCKER_SQUASH]
        subprocess.run(command, check=True)
    return str(program)


def _pair(ours: str, theirs: str, found: Sequence[Round]) -> Pair:
    return Pair(
        name=ours,
        peer=theirs,
        ours=statistics.median(one[ours].seconds for one in found),
        theirs=statistics.median(one[theirs].seconds for one in found),
        ratio=statistics.median(one[ours].seconds / one[theirs].seconds for one in found),
        rounds=len(found),
        processor=statistics.median(one[ours].processor / one[theirs].processor for one in found),
    )


def _figure(name: str, found: Sequence[Round]) -> Figure:
    def middle(part: Callable[[Cost], float]) -> float:
        return statistics.median(part(one[name]) for one in found)

    value = (
        f"{middle(lambda cost: cost.seconds):.2f} s, {middle(lambda cost: cost.processor):.2f} s of processor, "
        f"{middle(lambda cost: cost.memory) / 1e6:.0f} MB at most"
    )
    read, written = middle(lambda cost: cost.read) / 1e6, middle(lambda cost: cost.written) / 1e6
    return Figure(name=name, value=value, of=f"{read:,.0f} MB read, {written:,.0f} MB written; the engine's with it")


def _speed(found: Sequence[Round]) -> Figure:
    each = statistics.median(COUNT / one[MANY].processor for one in found)
    return Figure(
        name="small files squashed and proved", value=f"{each:,.0f} a second of processor", of="start and all"
    )


def _entries_a_second(endpoint: Endpoint, folder: Path) -> float:
    """Of the image of small files: the tree of its layers and the merged layer's tar, in this thread alone. Contents
    are not packed."""
    image = inspect_image(FILES, endpoint=endpoint)
    begun = time.thread_time()
    source = read_image(image, endpoint, folder, lambda: None)
    survey, trees = survey_trees(source.layers, subject=FILES, check=lambda: None, start=1)
    for _ in write_layer(entries(trees.below, trees.final, 1)):
        pass
    return sum(layer.entries for layer in survey.layers) / (time.thread_time() - begun)


def _tree(found: Sequence[float]) -> Figure:
    value = f"{statistics.median(found):,.0f} entries a second of processor"
    return Figure(name="small files, tree and merged tar", value=value, of="neither proved nor packed")


def _memory(found: Sequence[Round]) -> Figure:
    ours = [name for name in found[0] if name not in PEERS + FLOORS]
    most = max(ours, key=lambda name: max(one[name].memory for one in found))
    value = f"{max(one[most].memory for one in found) / 1e6:.0f} MB"
    return Figure(name="the most memory that a command of ours took", value=value, of=most)

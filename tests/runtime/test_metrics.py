"""What is measured: the kernel's files of both versions of cgroups, the differences of samples, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtime.metrics.cgroup import Cgroups, Usage, parse_mounts, parse_places
from runtime.metrics.sampler import LONGEST_SECONDS, Sampler, Watched, parse_clocks
from runtime.model import ServiceCounters

FIRST = "a" * 64


@dataclass
class Kernel:
    """A tree of files as the kernel shows them for one container."""

    root: Path
    second: bool
    place: str = f"/docker/{FIRST}"
    mount_root: str = "/"
    folders: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "proc" / "self").mkdir(parents=True)
        (self.root / "proc" / "7").mkdir()
        controllers = [""] if self.second else ["cpu,cpuacct", "memory"]
        lines = []
        for number, controller in enumerate(controllers):
            mount = self.root / (controller or "unified")
            folder = mount / self.place.removeprefix(self.mount_root).lstrip("/")
            folder.mkdir(parents=True)
            self.folders.append(folder)
            kind = "cgroup2 cgroup2 rw" if self.second else f"cgroup cgroup rw,{controller}"
            lines.append(f"{30 + number} 20 0:{number} {self.mount_root} {mount} rw,nosuid shared:9 - {kind}\n")
        (self.root / "proc" / "self" / "mountinfo").write_text("".join(lines))
        places = (
            [f"0::{self.place}\n"] if self.second else [f"4:memory:{self.place}\n2:cpu,cpuacct:{self.place}\n0::/\n"]
        )
        (self.root / "proc" / "7" / "cgroup").write_text("".join(places))

    def uses(self, cpu: int, memory: int, idle: int) -> None:
        """`cpu` in nanoseconds."""
        if self.second:
            (self.folders[0] / "cpu.stat").write_text(f"usage_usec {cpu // 1000}\nuser_usec 1\n")
            (self.folders[0] / "memory.current").write_text(f"{memory}\n")
            (self.folders[0] / "memory.stat").write_text(f"anon 1\ninactive_file {idle}\nactive_file 3\n")
            return
        (self.folders[0] / "cpuacct.usage").write_text(f"{cpu}\n")
        (self.folders[1] / "memory.usage_in_bytes").write_text(f"{memory}\n")
        (self.folders[1] / "memory.stat").write_text(f"inactive_file 9\ntotal_inactive_file {idle}\n")


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("mount_root", ["/", "/outer"])
def test_a_containers_usage_is_read_from_either_version(tmp_path: Path, second: bool, mount_root: str) -> None:
    place = f"{mount_root.rstrip('/')}/docker/{FIRST}"
    kernel = Kernel(tmp_path, second, place, mount_root)
    cgroups = Cgroups(tmp_path / "proc")
    kernel.uses(5_000_000_000, 300, 100)
    assert cgroups.usage(FIRST, 7) == Usage(cpu=5_000_000_000, memory=200)
    # Its place is remembered; its process is not asked again.
    (tmp_path / "proc" / "7" / "cgroup").unlink()
    kernel.uses(6_000_000_000, 300, 400)
    assert cgroups.usage(FIRST, 7) == Usage(cpu=6_000_000_000, memory=0)
    cgroups.keep([])
    assert cgroups.usage(FIRST, 7) is None


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, second=True)
    kernel.uses(1000, 1, 0)
    cgroups = Cgroups(tmp_path / "proc")
    assert cgroups.usage("b", 8) is None
    assert cgroups.usage("b", 0) is None
    (tmp_path / "proc" / "7" / "cgroup").write_text("0::/../elsewhere\n")
    assert cgroups.usage("b", 7) is None
    (tmp_path / "proc" / "7" / "cgroup").write_text(f"0::{kernel.place}\n")
    assert cgroups.usage("b", 7) == Usage(cpu=1000, memory=1)
    # The container has ended.
    (kernel.folders[0] / "memory.current").unlink()
    assert cgroups.usage("b", 7) is None


def test_the_kernels_lists() -> None:
    text = "9:name=systemd:/\n4:memory:/docker/a\n2:cpu,cpuacct:/docker/b:c\n0::/\n"
    assert parse_places(text) == {
        "name=systemd": "/", "memory": "/docker/a", "cpu": "/docker/b:c", "cpuacct": "/docker/b:c", "": "/",
    }  # fmt: skip
    mounts = parse_mounts(
        "24 1 0:5 / /proc rw - proc proc rw\n"
        "36 25 0:31 / /sys/fs/cgroup/my\\040memory rw,relatime shared:3 master:1 - cgroup cgroup rw,memory\n"
        "37 25 0:32 /sub /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    assert mounts["memory"] == ("/", Path("/sys/fs/cgroup/my memory"))
    assert mounts[""] == ("/sub", Path("/sys/fs/cgroup/unified"))
    clocks = parse_clocks("cpu  100 1 50 800 40 2 3 4 77 0\ncpu0 1 2 3\n")
    assert (clocks.total, clocks.idle) == (1000, 840)


def test_this_processs_own_usage_is_read() -> None:
    """The real kernel, as it is here; in a cgroup of the root there may be nothing to read."""
    found = Cgroups().usage("self", 1)
    assert found is None or (found.cpu > 0 and found.memory >= 0)


@dataclass
class Bench:
    """A sampler with a clock that is set, over one container and one Service."""

    kernel: Kernel
    now: float = 1000.0
    served: dict[str, int] = field(default_factory=dict)
    counted: int = 0
    looks: int = 0
    watched: Sequence[Watched] = (Watched(container_id=FIRST, pid=7),)

    def __post_init__(self) -> None:
        self.sampler = Sampler(
            lambda: self.watched,
            lambda: self.served,
            self._services,
            proc=self.kernel.root / "proc",
            now=lambda: self.now,
            wait=self.pass_by,
        )

    def _services(self) -> dict[tuple[str, str], ServiceCounters]:
        self.looks += 1
        counters = ServiceCounters(
            requests=self.counted, failed=0, retried=0, redispatched=0, errors_5xx=0, in_flight=0
        )
        return {("default", "web"): counters}

    def pass_by(self, seconds: float) -> None:
        """Half a core is used meanwhile, and ten requests a second come."""
        self.now += seconds
        self.use(int((self.now - 1000) * 5e8))
        self.served = {"web-1": int((self.now - 1000) * 10)}
        self.counted = int((self.now - 1000) * 10)

    def use(self, cpu: int) -> None:
        self.kernel.uses(cpu, 50 * 1024**2, 10 * 1024**2)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(Kernel(tmp_path, second=True))
    made.pass_by(0)
    return made


def test_a_rate_is_what_came_between_two_samples(bench: Bench) -> None:
    sampler = bench.sampler
    assert (sampler.rate(FIRST), sampler.requests("web-1"), sampler.window) == (None, (None, None), None)
    sampler.sample()
    assert (sampler.rate(FIRST), sampler.requests("web-1")) == (None, (0, None))
    bench.pass_by(15)
    sampler.sample()
    rate = sampler.rate(FIRST)
    assert rate is not None
    assert (rate.cpu, rate.memory, rate.window, rate.at) == (500, 40 * 1024**2, 15.0, 1015.0)
    assert sampler.requests("web-1") == (150, 10.0)
    assert sampler.requests("web-2") == (None, None)
    # A replica that begins anew counts from 0, and one that is new was not measured twice.
    bench.pass_by(15)
    bench.use(1)
    bench.served = {"web-1": 0, "web-2": 9}
    sampler.sample()
    assert sampler.rate(FIRST) is None
    assert sampler.requests("web-1") == (0, 0.0)
    assert sampler.requests("web-2") == (9, None)
    bench.watched = ()
    bench.pass_by(15)
    sampler.sample()
    assert sampler.usage(FIRST) is None


@pytest.mark.parametrize(
    ("started", "cpu", "window"),
    [(1010.0, 1500, 5.0), (1014.5, None, None), (999.0, None, None), (2000.0, None, None), (None, None, None)],
)
def test_one_that_was_started_between_two_samples(
    bench: Bench, started: float | None, cpu: int | None, window: float | None
) -> None:
    bench.watched = ()
    bench.sampler.sample()
    bench.pass_by(15)
    bench.watched = (Watched(container_id=FIRST, pid=7, started_at=started),)
    bench.sampler.sample()
    rate = bench.sampler.rate(FIRST)
    assert (rate and rate.cpu, rate and rate.window) == (cpu, window)


def test_nobody_measures_again_what_was_measured_a_moment_ago(bench: Bench) -> None:
    for _ in range(5):
        bench.sampler.sample()
    assert bench.looks == 1


def test_who_asks_is_told_the_same_while_it_is_fresh(bench: Bench) -> None:
    sampler = bench.sampler
    sampler.freshen()
    assert (bench.looks, bench.now, sampler.window) == (2, 1001.0, 1.0)
    for _ in range(7):
        bench.pass_by(2)
        sampler.freshen()
    assert bench.looks == 2
    # Later, what was measured then is the other end of the figure: nobody waits.
    bench.pass_by(10)
    sampler.freshen()
    assert (bench.looks, bench.now, sampler.window) == (3, 1025.0, 24.0)
    bench.pass_by(LONGEST_SECONDS + 1)
    sampler.freshen()
    assert (bench.looks, sampler.window) == (5, 1.0)
    rate = sampler.rate(FIRST)
    assert rate is not None
    assert rate.cpu == 500


def test_the_first_figures_soon_after_the_first_sample(bench: Bench) -> None:
    bench.sampler.sample()
    bench.pass_by(0.25)
    bench.sampler.freshen()
    assert (bench.looks, bench.sampler.window) == (2, 1.25)

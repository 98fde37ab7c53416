"""The ceiling over builds: both versions of control groups, and what has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import Ceiling, find_ceiling

ENGINE = "unix:///var/run/docker.sock"


def groups(root: Path, *, unified: bool) -> None:
    folders = ["docker/buildkit"] if unified else ["memory/docker/buildkit", "cpu/docker/buildkit"]
    for name in folders:
        (root / name).mkdir(parents=True)
    if unified:
        (root / "cgroup.controllers").write_text("cpu memory\n")
        (root / "docker/buildkit/memory.max").write_text("max\n")
        (root / "docker/buildkit/memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    else:
        (root / "memory/docker/buildkit/memory.limit_in_bytes").write_text("9223372036854771712\n")
        (root / "memory/docker/buildkit/memory.failcnt").write_text("2\n")


@pytest.mark.parametrize("unified", [True, False])
def test_the_limits_are_written_as_each_version_wants_them(tmp_path: Path, unified: bool) -> None:
    groups(tmp_path, unified=unified)
    found = find_ceiling(ENGINE, tmp_path)
    assert isinstance(found, Ceiling)
    found.set(memory=1 << 30, cpus=1.5)
    if unified:
        assert (found.memory / "memory.max").read_text() == str(1 << 30)
        assert (found.cpu / "cpu.max").read_text() == "150000 100000"
    else:
        assert (found.memory / "memory.limit_in_bytes").read_text() == str(1 << 30)
        assert (found.cpu / "cpu.cfs_quota_us").read_text() == "150000"
    assert found.hits == (1 if unified else 2)


def test_what_has_none_says_why(tmp_path: Path) -> None:
    assert "another machine" in str(find_ceiling("tcp://10.0.0.1:2375", tmp_path))
    assert "does not use" in str(find_ceiling(ENGINE, tmp_path))

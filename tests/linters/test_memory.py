"""What hadolint said is not asked twice, and is asked again where what is kept is not worth its name."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from linters import ToolError, check, hadolint
from linters.memory import MOST, Memory

TEXT = "FROM debian:bookworm\nRUN apt-get install curl\nUSER 10001\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    hadolint.find_hadolint.cache_clear()
    yield
    hadolint.find_hadolint.cache_clear()


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hadolint behind a script that writes a line for each time it is asked."""
    real, script, count = hadolint.find_hadolint(), tmp_path / "hadolint", tmp_path / "count"
    count.touch()
    script.write_text(f'#!/bin/sh\necho asked >> {count}\nexec {real} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    hadolint.find_hadolint.cache_clear()
    monkeypatch.setattr(hadolint, "_candidates", lambda: [script])
    return count


def asked(count: Path) -> int:
    return len(count.read_text().splitlines())


def test_the_same_text_is_asked_about_once_and_reported_alike(counted: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "memory", tmp_path / "Dockerfile"
    file.write_text(TEXT)
    first = check(file, memory=folder)
    assert any(finding.source == "hadolint" for finding in first.findings)
    assert check(file, memory=folder) == first
    assert asked(counted) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(kept.stat().st_mode) for kept in folder.iterdir()} == {0o600}


def test_another_text_or_another_hadolint_is_asked(counted: Path, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    hadolint.opinions(TEXT, memory=memory)
    hadolint.opinions(TEXT + "EXPOSE 80\n", memory=memory)
    assert asked(counted) == 2
    script = tmp_path / "hadolint"
    script.write_text(script.read_text() + "# another version\n")
    hadolint.opinions(TEXT, memory=memory)
    assert asked(counted) == 3


@pytest.mark.parametrize("damage", [b"", b"half", b"[]", bytes(range(256)), b"0" * 64 + b"\n[]"])
def test_a_damaged_answer_is_asked_for_anew_and_mended(counted: Path, tmp_path: Path, damage: bytes) -> None:
    memory = Memory(tmp_path / "memory")
    said = hadolint.opinions(TEXT, memory=memory)
    (kept,) = (tmp_path / "memory").iterdir()
    kept.write_bytes(damage)
    assert hadolint.opinions(TEXT, memory=memory) == said
    assert hadolint.opinions(TEXT, memory=memory) == said
    assert asked(counted) == 2


def test_an_answer_that_is_whole_and_not_hadolints_is_asked_for_anew(counted: Path, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    said = hadolint.opinions(TEXT, memory=memory)
    (kept,) = (tmp_path / "memory").iterdir()
    memory.keep(kept.name, '{"another": "format"}')
    assert hadolint.opinions(TEXT, memory=memory) == said
    assert asked(counted) == 2


def test_a_folder_that_cannot_be_written_costs_time_alone(counted: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file in its place")
    memory = Memory(tmp_path / "memory")
    assert hadolint.opinions(TEXT, memory=memory) == hadolint.opinions(TEXT, memory=memory)
    assert asked(counted) == 2
    assert (tmp_path / "memory").read_text() == "a file in its place"


def test_the_folder_stays_small(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    keys = [Memory.key(str(number).encode()) for number in range(MOST + 5)]
    for key in keys:
        memory.keep(key, "[]")
    assert len(list((tmp_path / "memory").iterdir())) == MOST
    assert memory.find(keys[-1]) == "[]"


def test_a_failure_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "hadolint"
    script.write_text("#!/bin/sh\necho nonsense\n")
    script.chmod(0o755)
    monkeypatch.setattr(hadolint, "_candidates", lambda: [script])
    memory = Memory(tmp_path / "memory")
    with pytest.raises(ToolError):
        hadolint.opinions(TEXT, memory=memory)
    assert not (tmp_path / "memory").exists()


def test_parts_do_not_run_into_each_other() -> None:
    assert Memory.key(b"ab", b"c") != Memory.key(b"a", b"bc")

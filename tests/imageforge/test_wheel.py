"""The built wheel, installed into an empty environment, is the whole program."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_environment(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-qq", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(tmp_path / "venv" / "bin" / "imageforge"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)

    assert run("--version").stdout.startswith("imageforge ")
    assert "IF402" in run("rules").stdout
    assert "## why" in run("rules", "IF101").stdout.lower()
    linted = run("lint", str(ROOT / "examples" / "90-bad-practices" / "Dockerfile"))
    assert (linted.returncode, "IF401" in linted.stdout) == (2, True)
    bases = "from imageforge.stack.bases import derived_folder; print(derived_folder('python:3.11'))"
    found = subprocess.run([str(python), "-c", bases], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (Path(found.stdout.strip()) / "Dockerfile").is_file()
    assert str(tmp_path) in found.stdout

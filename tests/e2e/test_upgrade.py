"""An upgrade under load, from the wheel of the commit before to that of this tree: no request and no build is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import sysconfig
import threading
import venv
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageforge.stack.edition import PACKAGES
from tests.e2e.conftest import ROOT, Forge
from tests.e2e.service import DOCKERFILE, Repository, Service, write_app
from tests.e2e.test_faults import check_once, patient
from tests.e2e.test_spine import Load

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

OURS = {"resolver", "controller", "hooks", "api", "worker-1", "worker-2"}
SLOW = DOCKERFILE.replace("USER", "RUN sleep 8\nUSER")


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


def previous_commit() -> str | None:
    """HEAD~1; where that has the same packages as this tree, the newest commit that has not; None in a shallow clone
    and where there is no git."""
    candidates = ["HEAD~1", *git("rev-list", "--max-count=50", "HEAD", "--", *PACKAGES).stdout.decode().split()]
    for commit in candidates:
        known = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        if known.returncode == 0 and git("diff", "--quiet", commit, "--", *PACKAGES).returncode == 1:
            return known.stdout.decode().strip()
    return None


def previous_source(into: Path) -> str:
    """The source to upgrade from; what it is."""
    into.mkdir()
    commit = previous_commit()
    if commit:
        archive = git("archive", commit)
        subprocess.run(["tar", "-x", "-C", str(into)], input=archive.stdout, check=True)
        return f"commit {commit[:12]}"
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE", "examples"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, into / name)
    init = into / "imageforge" / "__init__.py"
    init.write_text(init.read_text().replace("__version__ = ", "__version__ = '0.0.1'  # "))
    return "this tree under another version, as there is no commit before"


def installed(source: Path, folder: Path) -> str:
    """The interpreter of an environment with the wheel of a source; what it depends on is that of the tests."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)  # it is pure Python, and no command of its own is needed here
    return str(python)


def services(forge: Forge) -> dict[str, dict[str, Any]]:
    """What the pid files say, the supervisor's among them."""
    found = {}
    for file in (forge.home / "run").glob("*.pid"):
        with contextlib.suppress(FileNotFoundError):  # of one that ended in order at this moment
            found[file.stem] = json.loads(file.read_text())
    return found


class Asker:
    """Asks the API on new connections without pause, and keeps what was not answered."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            try:
                status = httpx.get(f"{self._url}/v1/health", timeout=30).status_code
            except httpx.TransportError as error:
                self.failures.append(repr(error))
                continue
            self.answered += 1
            if status != 200:
                self.failures.append(str(status))


def test_an_upgrade_under_load_loses_no_request_and_no_build(
    own_forge: Forge, project: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    origin = previous_source(tmp_path / "source")
    with ThreadPoolExecutor() as pool:
        old_python, new_python = pool.map(installed, (tmp_path / "source", ROOT), (tmp_path / "old", tmp_path / "new"))
    outside: dict[str, Any] = {"folder": tmp_path, "extra": {**own_forge.extra, "PYTHONPATH": ""}}
    old = dataclasses.replace(own_forge, python=old_python, **outside)
    new = dataclasses.replace(own_forge, python=new_python, **outside)

    old.ok("up")
    service = Service(old)
    write_app(project, "before")
    (project / "imageforge.toml").write_text("[app]\nreplicas = 2\n")
    old.ok("deploy", project, "--name", "steady")
    replicas = {row["replica"] for row in old.replicas("steady")}
    before = services(old)

    slow = tmp_path / "slow"
    write_app(slow, "slow", SLOW)
    build = service.upload("slow", slow, no_cache=True).json()["build"]
    service.until(build, "step", "build")
    repository = Repository(tmp_path / "repository")
    write_app(repository.folder, "pushed")
    repository.commit("first")
    remote = f"http://x:{service.token}@127.0.0.1:{own_forge.api_port}/git/pushed.git"

    load = Load(new, "steady", connections=8, per_second=150)
    load.start()
    try:
        with Asker(service.url) as asker:
            load.wait_for(100)
            upgrade = new.start("up")
            # Pushed once the upgrade is under way: its first deed is to end the old supervisor.
            while services(new).get("supervisor") == before["supervisor"]:
                assert upgrade.poll() is None, upgrade.communicate()
            accepted = service.upload("during", project)
            pushed = repository.git("push", remote, "main", check=False)
            out, err = upgrade.communicate(timeout=120)
            assert upgrade.returncode == 0, out + err
            ends = [patient(service, number) for number in (build, accepted.json()["build"])]
        load.wait_for(load.sent + 100)
    finally:
        load.stop()

    after = services(new)
    replaced = {name for name in before if after[name]["pid"] != before[name]["pid"]}
    assert replaced == (OURS & set(before)) | {"supervisor"}, err
    (edition,) = {after[name]["edition"] for name in replaced}
    assert edition != before["controller"].get("edition")
    report = json.loads((new.home / "run" / "stack.json").read_text())
    assert (report["edition"], {row["restarts"] for row in report["services"]}) == (edition, {0})
    assert load.failed == 0, load.failures[:5]
    if (tmp_path / "source" / "imageforge" / "api" / "server.py").exists():
        assert asker.failures == []
    else:  # from a version that cut off those whom it had let in and who had not asked yet; it refused nobody, either
        assert all(failure.startswith("RemoteProtocolError") for failure in asker.failures), asker.failures
    assert {row["replica"] for row in new.replicas("steady") if row["ready"]} == replicas
    assert [(end["status"], end["attempt"], end["error"]) for end in ends] == [("succeeded", 1, None)] * 2
    check_once(service, "slow", build)
    assert new.get("slow")[1].strip() == "slow"
    assert "accepted as build" in pushed.stderr, pushed.stderr
    number = int(pushed.stderr.partition("accepted as build ")[2].split()[0])
    assert patient(service, number)["status"] == "succeeded"
    check_once(service, "pushed", number)
    assert new.get("pushed")[1].strip() == "pushed"
    # The same edition once more replaces nothing.
    new.ok("up")
    assert services(new) == after
    tell(
        f"upgrade from {origin} to {edition}: 0 of {load.sent} requests and {len(asker.failures)} of {asker.answered} "
        "API calls failed, 3 builds accepted, 3 succeeded"
    )

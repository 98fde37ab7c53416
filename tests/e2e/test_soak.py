"""Long runs, by `make soak`: what holds once should hold twenty times, under load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLES, Forge
from tests.e2e.test_spine import Load, wait_ready

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(1500)]

DEPLOYS = 20


def test_twenty_deploys_under_load_lose_no_request(forge: Forge, project: Path, tell: Callable[[str], None]) -> None:
    for file in (EXAMPLES / "01-hello-http").iterdir():
        (project / file.name).write_bytes(file.read_bytes())
    forge.ok("deploy", project)
    source = (project / "app.py").read_text()
    load = Load(forge, "hello", connections=12, per_second=200)
    load.start()
    try:
        for number in range(DEPLOYS):
            (project / "app.py").write_text(source.replace("hello from", f"hello {number} from"))
            forge.ok("deploy", project)
            assert f"hello {number} from" in forge.get("hello")[1]
    finally:
        load.stop()
    wait_ready(forge, "hello", 3)
    assert load.failed == 0, f"{load.failed} of {load.sent}: {load.failures[:5]}"
    assert load.sent > DEPLOYS * 100
    tell(f"{DEPLOYS} deploys under load: {load.failed} of {load.sent} requests failed")

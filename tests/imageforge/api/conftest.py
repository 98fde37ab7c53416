"""An API for a test of its own, and one for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.imageforge.api.service import Api, running_api


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api(context_limit=1) as running:
        yield running

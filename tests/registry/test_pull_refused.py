"""A registry that will not give an image: each answer has its code and its hint, and nothing is named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from registry import ImageRef, LayoutSink, OciLayout, Patience, RegistryClient, RegistryError, RegistrySource, copy
from tests.registry.conftest import QUICK, Maker
from tests.registry.faulty import Proxy
from tests.registry.test_faults import REFUSALS, send


@pytest.fixture
def there(make: Maker, proxy: Proxy) -> ImageRef:
    make.layout.put_manifest(make.image(b"small"))
    send(make.layout, proxy, "refuses/to/give")
    return ImageRef.parse(f"{proxy.address}/refuses/to/give:v1")


def pull(reference: ImageRef, place: Path, patience: Patience = QUICK) -> RegistryError:
    with (
        pytest.raises(RegistryError) as caught,
        RegistryClient(reference.registry, patience=patience) as client,
    ):
        copy(RegistrySource(client=client, reference=reference), LayoutSink(path=place, ref_name="it"))
    return caught.value


@pytest.mark.parametrize("path", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize(("fault", "code", "hint"), REFUSALS)
def test_a_refusal_has_a_code_and_a_hint_and_names_nothing(
    there: ImageRef, proxy: Proxy, tmp_path: Path, path: str, fault: dict[str, object], code: str, hint: str
) -> None:
    proxy.add(method="GET", path=path, times=999, **fault)
    error = pull(there, tmp_path / "pulled")
    assert error.code == code
    assert hint in (error.hint or "")
    assert error.message.isprintable()
    # A manifest that does not come makes no layout at all; of one whose blobs do not, no image is named.
    if path == "/manifests/":
        assert not (tmp_path / "pulled").exists()
    else:
        assert OciLayout.open(tmp_path / "pulled").names() == ()
    assert proxy.count("GET", path) <= 2 * QUICK.tries + 2


@pytest.mark.parametrize("path", ["/manifests/", "/blobs/"])
def test_one_that_hangs_is_not_waited_for_without_end(there: ImageRef, proxy: Proxy, tmp_path: Path, path: str) -> None:
    release = threading.Event()
    proxy.add(method="GET", path=path, times=99, hang=release)
    try:
        error = pull(there, tmp_path / "pulled", Patience(first=0.001, silence=0.3))
    finally:
        release.set()
    assert error.code == "registry-unreachable"
    assert "no answer" in error.message


def test_one_that_asks_to_be_left_alone_for_a_moment_is(there: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    proxy.add(method="GET", path="/blobs/", times=2, status=429, headers={"Retry-After": "0"})
    with RegistryClient(there.registry, patience=QUICK) as client:
        copy(RegistrySource(client=client, reference=there), LayoutSink(path=tmp_path / "pulled", ref_name="it"))
    OciLayout.open(tmp_path / "pulled").verify("it")

"""Secrets of an app: what may be set, what a release keeps of them, and that nothing shows a value."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from builders import RegistryLogin
from imageforge.config import Home, Settings
from imageforge.errors import DeployFailed, GateRefused, StackError, UsageError
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.event import Event, Recorder
from imageforge.pipeline.manifests import SecretUse, Workload, generate, secret_manifest, secrets_in, with_environment
from imageforge.pipeline.release import again
from imageforge.pipeline.rollout import _fail
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.pipeline.secret_change import NewSecret, change_secrets, purpose_of
from imageforge.pipeline.secrets import AppSecrets, tells_apart
from imageforge.pipeline.verdict import Verdict
from imageforge.store import Apps, Database, Environment, Purpose, Release, Releases, ReleaseStatus, SealedSecrets
from imageforge.vault import Vault
from registry import OciLayout
from runtime import ControllerClient, ManifestError, load_manifests
from tests.imageforge.vault.test_scan import image, tar

VALUE = "s3cr3t-of-the-app"


@pytest.fixture
def deployer(tmp_path: Path) -> Iterator[Deployer]:
    home = Home(tmp_path)
    home.prepare()
    with Database.at(home.store) as database:
        Apps(database).ensure("shop")
        controller = ControllerClient(home.controller_socket)
        yield Deployer(home=home, settings=Settings(), database=database, controller=controller)


def put(deployer: Deployer, purpose: Purpose = Purpose.RUN, path: str | None = None, **values: str | None) -> None:
    new = {name: None if value is None else NewSecret(value=value, path=path) for name, value in values.items()}
    change_secrets("shop", purpose, new, deployer.database, deployer.vault)


def workload(secret: SecretUse | None = None, **environment: str) -> Workload:
    return Workload(
        app="shop",
        release=3,
        reference="r/shop@sha256:" + "0" * 64,
        port=8080,
        replicas=1,
        host="shop.localhost",
        deadline=60,
        health=None,
        environment=environment,
        numeric_user=True,
        secret=secret,
    )


def release(deployer: Deployer, number: int, **environment: str) -> Release:
    secrets = RunSecrets.now("shop", deployer.database, deployer.vault)
    made = Release(
        app="shop",
        number=number,
        build_id=None,
        reference="r",
        image_id="i",
        manifests=generate(workload(secrets.use if secrets else None, **environment)),
        status=ReleaseStatus.LIVE,
        created_at=time.time(),
        secrets=secrets.sealed(deployer.vault) if secrets else None,
    )
    Releases(deployer.database).add(made)
    return made


@pytest.mark.parametrize(
    ("purpose", "name", "value", "path", "code"),
    [
        (Purpose.RUN, "A-B", VALUE, None, "invalid-secret-name"),
        (Purpose.BUILD, "ghcr.io:443", VALUE, None, "invalid-secret-name"),
        (Purpose.REGISTRY, "https://ghcr.io", "u:p", None, "invalid-secret-name"),
        (Purpose.REGISTRY, "ghcr.io", "no-password", None, "registry-login-invalid"),
        (Purpose.REGISTRY, "ghcr.io", ":p", None, "registry-login-invalid"),
        (Purpose.REGISTRY, "ghcr.io", "u:p\nq", None, "registry-login-invalid"),
        (Purpose.REGISTRY, "ghcr.io", "u:p", "x", "secret-path-for-builds"),
        (Purpose.RUN, "1A", VALUE, None, "invalid-secret-name"),
        (Purpose.RUN, "a b", VALUE, "x", "invalid-secret-name"),
        (Purpose.RUN, "A", "", None, "secret-empty"),
        (Purpose.RUN, "A", VALUE + "\0", None, "secret-not-text"),
        (Purpose.BUILD, "A", VALUE, "x", "secret-path-for-builds"),
        (Purpose.RUN, "A", VALUE, "../x", "secret-path-invalid"),
        (Purpose.RUN, "A", VALUE, "/etc/x", "secret-path-invalid"),
        (Purpose.RUN, "A", VALUE, "/run/secrets", "secret-path-invalid"),
        (Purpose.RUN, "A", VALUE, "x\ny", "secret-path-invalid"),
        (Purpose.RUN, "A", VALUE, "kept/deeper", "secret-path-taken"),
        (Purpose.RUN, "A", VALUE, "/run/secrets/kept", "secret-path-taken"),
        (Purpose.RUN, "A", VALUE * 4000, None, "secret-too-long"),
        (Purpose.RUN, "GONE", None, None, "no-such-secret"),
    ],
)
def test_a_bad_change_is_refused_and_nothing_of_it_is_stored(
    deployer: Deployer, purpose: Purpose, name: str, value: str | None, path: str | None, code: str
) -> None:
    put(deployer, path="kept", KEPT="kept-value")
    before = SealedSecrets(deployer.database).all("shop")
    fine, fitting = ("ghcr.io:443", "a:b") if purpose is Purpose.REGISTRY else ("FINE", "fine")
    new = {fine: NewSecret(value=fitting), name: None if value is None else NewSecret(value=value, path=path)}
    with pytest.raises(UsageError) as caught:
        change_secrets("shop", purpose, new, deployer.database, deployer.vault)
    assert caught.value.code == code
    assert VALUE not in f"{caught.value} {caught.value.hint}"
    assert SealedSecrets(deployer.database).all("shop") == before
    with pytest.raises(UsageError, match="no secret was named"):
        change_secrets("shop", purpose, {}, deployer.database, deployer.vault)


def test_together_they_must_fit_into_one_secret(deployer: Deployer) -> None:
    put(deployer, **{f"A{number}": "x" * 65536 for number in range(16)})
    with pytest.raises(UsageError) as caught:
        put(deployer, B="x")
    assert caught.value.code == "secrets-too-large"
    put(deployer, A1=None)
    put(deployer, B="x")


def test_which_one_is_forgotten_must_be_plain(deployer: Deployer) -> None:
    put(deployer, BOTH=VALUE, RUN=VALUE)
    put(deployer, Purpose.BUILD, BOTH=VALUE)
    assert purpose_of("shop", "RUN", None, deployer.database) is Purpose.RUN
    assert purpose_of("shop", "BOTH", "build", deployer.database) is Purpose.BUILD
    for name, code in (("BOTH", "secret-ambiguous"), ("NONE", "no-such-secret")):
        with pytest.raises(UsageError) as caught:
            purpose_of("shop", name, None, deployer.database)
        assert caught.value.code == code
    put(deployer, BOTH=None)
    assert [(row.purpose, row.name) for row in SealedSecrets(deployer.database).all("shop")] == [
        (Purpose.BUILD, "BOTH"),
        (Purpose.RUN, "RUN"),
    ]


def test_a_key_that_is_missing_or_wrong_is_named_and_never_replaced(deployer: Deployer) -> None:
    put(deployer, A=VALUE)
    key = deployer.home.key_file
    right = key.read_bytes()
    key.unlink()
    with pytest.raises(StackError) as caught:
        put(deployer, B=VALUE)
    assert (caught.value.code, caught.value.subject, key.exists()) == ("key-missing", str(key), False)
    key.write_bytes(base64.urlsafe_b64encode(bytes(32)))
    with pytest.raises(StackError, match="does not open") as caught:
        put(deployer, B=VALUE)
    assert caught.value.code == "key-wrong"
    with pytest.raises(StackError, match="does not open"):
        RunSecrets.now("shop", deployer.database, deployer.vault)
    put(deployer, A="set again")  # which is how a lost key is got over
    key.write_bytes(right)
    key.write_text("no key")
    with pytest.raises(StackError) as caught:
        deployer.vault.open(b"x")
    assert caught.value.code == "key-unusable"


def test_the_manifests_are_ones_that_the_runtime_and_a_cluster_take(deployer: Deployer) -> None:
    put(deployer, A=VALUE, B="b-value")
    put(deployer, path="tls/key.pem", KEY="line one\nline two\n")
    secrets = RunSecrets.now("shop", deployer.database, deployer.vault)
    assert secrets is not None
    assert secrets.secret.startswith("shop-")
    assert VALUE not in repr(secrets)
    text = generate(workload(secrets.use, B="hidden by the secret", URL="db://app:$(A)@db"))
    assert VALUE not in text
    container = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in container["env"]] == ["A", "B", "PORT", "URL"]
    assert secrets_in(text) == {secrets.secret}
    documents = load_manifests(f"{secrets.manifest()}---\n{text}")
    assert [document.kind for document in documents] == ["Secret", "Deployment", "Service"]
    assert documents[0].object.data["KEY"] == b"line one\nline two\n"  # type: ignore[union-attr]
    assert documents[1].object.template.secrets == {secrets.secret}  # type: ignore[union-attr]
    masked = secrets.manifest(masked=True)
    assert VALUE not in masked
    assert f"*** {len(VALUE)} bytes" in masked
    with pytest.raises(ManifestError, match="were masked"):
        load_manifests(masked)
    without = with_environment(text, {}, None, port=8080)
    assert without == generate(workload())
    assert secrets_in(without) == set()
    assert with_environment(without, {"URL": "db://app:$(A)@db"}, secrets.use, port=8080) == generate(
        workload(secrets.use, URL="db://app:$(A)@db")
    )


@pytest.mark.parametrize(
    "value",
    ["null", "1", "yes", "a: b", "*a", "!x", "ü\x7f\x85\u2028x", " lead", "x\n\n", "'\"", "\x01", "\r\n", "😀"],
)
def test_any_text_is_a_value(value: str) -> None:
    found = load_manifests(secret_manifest("shop", "shop-1", {"A": value}))[0].object
    assert found.data == {"A": value.encode()}  # type: ignore[union-attr]


def test_the_name_tells_nothing_and_changes_with_every_value_and_place(deployer: Deployer) -> None:
    def name() -> str:
        found = RunSecrets.now("shop", deployer.database, deployer.vault)
        assert found is not None
        return found.secret

    put(deployer, A=VALUE)
    first = name()
    put(deployer, A=VALUE)
    assert name() == first
    put(deployer, A=VALUE + "2")
    second = name()
    put(deployer, path="a", A=VALUE + "2")
    assert len({first, second, name()}) == 3
    other = Vault(deployer.home.path / "other-key")
    other.seal("makes the key")
    assert other.digest("x") != deployer.vault.digest("x")


def test_a_rollback_has_the_secrets_of_then_and_a_refresh_those_of_now(deployer: Deployer) -> None:
    put(deployer, A=VALUE)
    first = release(deployer, 1)
    put(deployer, A="a-newer-value", B="more")
    Environment(deployer.database).change("shop", {"GREETING": "hello"})
    second = again(first, deployer, note="secrets changed", refresh=True)
    back = again(first, deployer, note="rollback to 1")

    def values(found: Release) -> dict[str, str]:
        stored = Releases(deployer.database).find("shop", found.number)
        assert stored is not None
        opened = RunSecrets.of(stored, deployer.vault)
        assert opened is not None
        assert secrets_in(stored.manifests) == {opened.secret}
        return dict(opened.values)

    assert values(second) == {"A": "a-newer-value", "B": "more"}
    assert values(back) == values(first) == {"A": VALUE}
    put(deployer, A=None, B=None)
    assert again(first, deployer, note="secrets changed", refresh=True).secrets is None
    for file in deployer.home.path.rglob("*"):
        assert not file.is_file() or VALUE.encode() not in file.read_bytes()


def test_secrets_of_every_purpose_and_of_earlier_releases_are_masked(deployer: Deployer) -> None:
    put(deployer, A=VALUE)
    release(deployer, 1)
    put(deployer, A="the-newer-value")
    put(deployer, Purpose.BUILD, TOKEN="a-build-token")
    found = AppSecrets.of("shop", deployer.database, deployer.vault)
    said = f"{VALUE} the-newer-value a-build-token {base64.b64encode(VALUE.encode()).decode()}"
    assert found.mask.text(said) == "*** *** *** ***"
    assert dict(found.run) == {"A": "the-newer-value"}
    assert AppSecrets.mask_of("shop", deployer.database, deployer.vault).text(said) == "*** *** *** ***"
    # Without the key a build does not begin; a rollout that needs none of them is not held up.
    deployer.home.key_file.unlink()
    with pytest.raises(StackError, match="is not there"):
        AppSecrets.of("shop", deployer.database, deployer.vault)
    assert AppSecrets.mask_of("shop", deployer.database, deployer.vault).empty


def test_a_login_at_a_registry_is_for_pulling_alone_and_masked(deployer: Deployer) -> None:
    put(deployer, Purpose.REGISTRY, **{"registry.example.org:5000": "bot:pa:ss-word"})
    found = AppSecrets.of("shop", deployer.database, deployer.vault)
    assert found.registries == {"registry.example.org:5000": RegistryLogin(user="bot", password="pa:ss-word")}
    assert (dict(found.build), dict(found.run)) == ({}, {})
    for mask in (found.mask, AppSecrets.mask_of("shop", deployer.database, deployer.vault)):
        assert mask.text("401 for pa:ss-word") == "401 for ***"
    # A login is no part of a release: another one replaces no replica.
    assert release(deployer, 1).secrets is None


def test_a_crash_is_told_with_stars_also_over_several_lines(deployer: Deployer) -> None:
    put(deployer, A=VALUE)
    events: list[Event] = []
    mask = AppSecrets.of("shop", deployer.database, deployer.vault).mask
    recorder = Recorder(listeners=(events.append,), mask=mask)
    verdict = Verdict(
        failed=True, code="replica-exits", subject="shop-1", message=f"said {VALUE}", log=("x", VALUE[:8], VALUE[8:])
    )
    with recorder.stage("rollout") as log, pytest.raises(DeployFailed) as caught:
        _fail(release(deployer, 1), verdict, log, "")
    assert caught.value.message == "shop-1 said ***"
    assert [event.text for event in events if event.kind == "line"] == ["x", "***", "***"]
    assert VALUE not in json.dumps([event.text for event in events])


@pytest.mark.parametrize(
    ("value", "searched"),
    [("production", False), ("postgres\n", False), ("abcdefghijklmnop", True), ("passw0rd", True), ("hunter-2", True)],
)
def test_an_ordinary_word_is_not_looked_for_in_images(value: str, searched: bool) -> None:
    assert tells_apart(value) is searched


def test_an_image_that_holds_a_run_secret_is_not_pushed(tmp_path: Path) -> None:
    made = OciLayout.create(tmp_path / "layout")
    image(made, gzip.compress(tar({"srv/config": f"password={VALUE}".encode()})))
    layout = made.path
    secrets = AppSecrets(run={"DB": VALUE, "ONE": "1"})
    with pytest.raises(GateRefused) as caught:
        secrets.refuse_leaks(layout, "shop")
    assert caught.value.code == "secret-in-image"
    assert "leave it out of the image" in (caught.value.hint or "")
    assert VALUE not in f"{caught.value} {caught.value.hint}"
    AppSecrets(run={"ONE": "1", "WORD": "password"}).refuse_leaks(layout, "shop")

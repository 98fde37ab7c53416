"""Certificates by ACME, against a real authority: got, renewed, refused, and fetched after a crash."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme import client

from imageforge.config import Home, Settings
from imageforge.entry.authority import Authority, Challenges, NotIssued
from imageforge.entry.keeper import CertificateKeeper
from imageforge.entry.standing import read_attempts, remember_issuer
from imageforge.store import Apps, Database, Domains
from runtime import certificate_states
from tests.authority import TestAuthority
from tests.pebble import pebble


class Answers:
    """What HAProxy and the API are in between: answers challenges by plain HTTP."""

    def __init__(self) -> None:
        self.challenges = Challenges()
        self.served = True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = outer.challenges.answer(self.path.rpartition("/")[2]) if outer.served else None
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write((found or "").encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Scene:
    """A home whose certificates are kept."""

    def __init__(self, folder: Path, directory: str, authority: TestAuthority, answers: Answers) -> None:
        self.answers = answers
        self.home = Home(folder / "home")
        self.home.prepare()
        self.files = folder / "certificates"
        self.files.mkdir()
        self.settings = Settings.model_validate(
            {
                "public_address": "127.0.0.1",
                "public_host": "forge.example.org",
                "certificates": str(self.files),
                "acme": True,
                "acme_directory": directory,
                "acme_ca_file": str(authority.file),
                "acme_contact": "someone@example.org",
            }
        )
        self.database = Database.at(self.home.store)
        Apps(self.database).ensure("shop")

    def keeper(self) -> CertificateKeeper:
        """As a new process would have it."""
        made = CertificateKeeper(self.home, self.settings, self.database)
        self.answers.challenges = made.challenges
        return made

    def names(self) -> set[str]:
        """What there are good certificates for."""
        found = certificate_states((self.home.acme_certificates,))
        assert [state.problem for state in found if state.problem] == []
        return {name for state in found for name in state.names}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    made = Answers()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority, answers: Answers) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pebble")
    with pebble(folder, authority, address="127.0.0.1", http_port=answers.server.server_port) as address:
        yield address


@pytest.fixture
def scene(tmp_path: Path, directory: str, authority: TestAuthority, answers: Answers) -> Iterator[Scene]:
    made = Scene(tmp_path, directory, authority, answers)
    answers.served = True
    yield made
    made.database.close()


def test_every_name_gets_one_and_keeps_it(scene: Scene) -> None:
    Domains(scene.database).add("shop", "www.example.org")
    keeper = scene.keeper()
    assert set(keeper.look()) == {"forge.example.org", "www.example.org"}
    assert scene.names() == {"forge.example.org", "www.example.org"}
    assert {file.stat().st_mode & 0o777 for file in scene.home.acme.rglob("*") if file.is_file()} == {0o600}
    assert keeper.look() == ()
    key = (scene.home.acme / "account.key").read_bytes()
    Domains(scene.database).remove("shop", "www.example.org")
    Domains(scene.database).add("shop", "new.example.org")
    assert scene.keeper().look() == ("new.example.org",)
    assert (scene.home.acme / "account.key").read_bytes() == key
    assert scene.names() == {"forge.example.org", "new.example.org"}


def test_a_name_with_a_file_of_its_own_is_left_alone(scene: Scene, authority: TestAuthority) -> None:
    (scene.files / "any.pem").write_bytes(authority.bundle("*.example.org"))
    assert scene.keeper().look() == ()


def test_an_old_one_is_renewed_and_serves_until_then(scene: Scene, authority: TestAuthority) -> None:
    scene.home.acme_certificates.mkdir(parents=True)
    mine = scene.home.acme_certificates / "forge.example.org.pem"
    mine.write_bytes(authority.bundle("forge.example.org", start=-60, end=31))
    remember_issuer(scene.home, "forge.example.org", scene.settings.acme_directory)
    assert scene.keeper().look() == (), "a third of its life is left"
    mine.write_bytes(authority.bundle("forge.example.org", start=-60, end=29))
    scene.answers.served = False
    old = mine.read_bytes()
    assert scene.keeper().look() == ()
    assert mine.read_bytes() == old
    assert "could not check the name" in read_attempts(scene.home, "forge.example.org").error
    scene.answers.served = True
    assert scene.keeper().look() == (), "the failure is waited for"
    (scene.home.acme / "attempts" / "forge.example.org.json").unlink()
    assert scene.keeper().look() == ("forge.example.org",)
    assert mine.read_bytes() != old
    assert scene.names() == {"forge.example.org"}


def test_one_of_another_directory_is_replaced(scene: Scene, authority: TestAuthority) -> None:
    scene.home.acme_certificates.mkdir(parents=True)
    (scene.home.acme_certificates / "forge.example.org.pem").write_bytes(authority.bundle("forge.example.org"))
    remember_issuer(scene.home, "forge.example.org", "https://trial.example.org/directory")
    assert scene.keeper().look() == ("forge.example.org",)
    assert scene.keeper().look() == ()


def test_a_name_too_long_for_a_files_name_is_kept_like_any_other(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"acme_directory": "https://127.0.0.1:1/dir"})
    names = Domains(scene.database)
    long = ".".join(["a" * 60] * 4)
    names.add("shop", long)
    names.add("shop", "www.example.org")
    keeper = scene.keeper()
    keeper.look()
    keeper.look()  # which drops what belongs to no name
    for name in (long, "www.example.org"):
        assert "does not answer" in read_attempts(scene.home, name).error


def test_a_full_disk_does_not_make_it_ask_again_and_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(_: Authority, name: str) -> bytes:
        asked.append(name)
        raise NotIssued("no space left")

    monkeypatch.setattr(Authority, "issue", refuse)
    scene.home.acme.mkdir(exist_ok=True)
    (scene.home.acme / "attempts").write_text("in the way, so that nothing can be written there")
    Domains(scene.database).add("shop", "www.example.org")
    keeper = scene.keeper()
    for _ in range(3):
        keeper.look()
    assert asked == ["forge.example.org", "www.example.org"]


def test_an_authority_that_is_away_is_named(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"acme_directory": "https://127.0.0.1:1/dir"})
    assert scene.keeper().look() == ()
    assert "does not answer" in read_attempts(scene.home, "forge.example.org").error


def test_a_directory_that_the_ca_file_did_not_sign_is_refused(scene: Scene, tmp_path: Path) -> None:
    stranger = TestAuthority(tmp_path / "stranger")
    scene.settings = scene.settings.model_copy(update={"acme_ca_file": str(stranger.file)})
    assert scene.keeper().look() == ()
    assert "does not answer" in read_attempts(scene.home, "forge.example.org").error


def test_a_certificate_that_was_issued_before_a_crash_is_fetched(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real = client.ClientV2.poll_finalization

    def crash(self: client.ClientV2, order: object, *rest: object) -> object:
        real(self, order, *rest)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(client.ClientV2, "poll_finalization", crash)
    for _ in range(2):  # the second time in the middle of fetching it
        with pytest.raises(KeyboardInterrupt):
            scene.keeper().look()
        monkeypatch.setattr(client.ClientV2, "new_order", lambda *_: pytest.fail("a second order was made"))
    monkeypatch.setattr(client.ClientV2, "poll_finalization", real)
    (left,) = (scene.home.acme / "orders").iterdir()
    assert json.loads(left.read_text())["order"]
    assert scene.keeper().look() == ("forge.example.org",)
    assert scene.names() == {"forge.example.org"}
    assert not left.exists()

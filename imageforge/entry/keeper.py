"""Keeps a certificate for the service's host and for each domain: asks for what is missing, renews what ages."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.config.domain import file_stem
from imageforge.entry.authority import Account, Authority, Challenges, NotIssued
from imageforge.entry.secret_file import replace
from imageforge.entry.standing import (
    Attempts,
    due,
    forget_attempts,
    forget_names,
    issued_by,
    read_attempts,
    remember_issuer,
    serving,
    write_attempts,
)
from imageforge.errors import ForgeError
from imageforge.store import Database, Domains
from runtime import CertificateState, certificate_states

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often it looks; a domain that was added by the API is looked at at once."""

CLOSE_SECONDS = 2.0
"""How long the end of a look is waited for; an authority may take minutes."""


class CertificateKeeper:
    """One thread, in the API's process, which answers the challenges. It writes files; the controller serves them."""

    def __init__(self, home: Home, settings: Settings, database: Database) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self.challenges = Challenges()
        account = Account(
            directory=settings.acme_directory,
            contact=settings.acme_contact,
            ca_file=settings.acme_ca_file,
            folder=home.acme,
        )
        self._authority = Authority(account, self.challenges)
        # What the disk did not take: an authority that is asked with each look soon answers nobody here.
        self._unwritten: dict[str, Attempts] = {}
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Begin, where certificates are to be got at all."""
        if self._settings.public and self._settings.acme:
            self._thread.start()

    def close(self) -> None:
        """End. An order under way is left as it is: what it came to is fetched after the next start."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=CLOSE_SECONDS)

    def wake(self) -> None:
        """Look now: there is a new name, or one less."""
        self._woken.set()

    def look(self) -> tuple[str, ...]:
        """One look: the names that got a certificate."""
        names = [self._settings.public_host, *(domain.name for domain in Domains(self._database).all())]
        forget_names(self._home, set(names))
        by_file = (
            certificate_states((Path(self._settings.certificates),), tried=False) if self._settings.certificates else ()
        )
        wanted = [name for name in names if serving(name, by_file) is None]
        mine = certificate_states((self._home.acme_certificates,), tried=False)
        # Who has none yet comes first, and of those who failed least: one bad name must not hold up the others.
        wanted.sort(key=lambda name: (serving(name, mine) is not None, read_attempts(self._home, name).failures))
        return tuple(name for name in wanted if not self._stopping.is_set() and self._kept(name, serving(name, mine)))

    def _kept(self, name: str, there: CertificateState | None) -> bool:
        try:
            return self._keep(name, there)
        except OSError as error:  # of this name's files; the others may be kept all the same
            log.warning("the certificate for %s: %s", name, error)
            return False

    def _keep(self, name: str, there: CertificateState | None) -> bool:
        attempts = self._unwritten.get(name) or read_attempts(self._home, name)
        mine = issued_by(self._home, name) == self._settings.acme_directory
        if not due(there if mine else None, attempts, time.time()):
            return False
        try:
            pem = self._authority.issue(name)
        except NotIssued as reason:
            log.warning("no certificate for %s: %s", name, reason)
            failed = self._unwritten[name] = attempts.failed(str(reason), time.time())
            write_attempts(self._home, name, failed)
            del self._unwritten[name]
            return False
        replace(self._home.acme_certificates / f"{file_stem(name)}.pem", pem)
        remember_issuer(self._home, name, self._settings.acme_directory)
        self._authority.finished(name)
        self._unwritten.pop(name, None)
        forget_attempts(self._home, name)
        log.info("a certificate for %s", name)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self.look()
            except (ForgeError, OSError) as error:
                log.warning("certificates: %s", error)
            except Exception:
                log.exception("certificates")  # and on: nobody else renews them
            self._woken.wait(LOOK_SECONDS)

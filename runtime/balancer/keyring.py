"""The certificates that the balancer serves: copies of its own of every good one, so that no change of a file, however
it is made, takes a host's certificate away before there is another.

A file that is broken is left out and named. Where it was good before, the copy of then serves on until it expires: who
replaces a certificate and its key by two writes is seen in the middle of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.balancer.certificates import (
    Certificate,
    CertificateState,
    Defect,
    Signature,
    Source,
    check_time,
    covers,
    parse,
    read,
    sources,
)
from runtime.balancer.program import check

LOOK_AGAIN_SECONDS = 60.0
"""How often a broken file is read again though it has not changed: it may only have been too early for it."""

NONE_GIVEN: Mapping[str, bytes] = {}
GONE_SECONDS = 10.0
"""How long a certificate is served on after its file went away: a folder is replaced by two renames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A line of the balancer's list: a file in the keyring's folder, and the names that it is served for."""

    file: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """What is served."""

    entries: tuple[Entry, ...] = ()

    def covers(self, host: str) -> bool:
        """Whether there is a certificate for this host."""
        return any(covers(entry.names, host) for entry in self.entries)


@dataclass(slots=True)
class _Held:
    """A source as it was seen last. `good` is its last good content."""

    signature: Signature | None = None
    good: Certificate | None = None
    problem: str = ""
    seen_at: float = 0.0
    read_at: float = 0.0


class Keyring:
    """The certificates of some folders, in their order, and behind them those that are given as text. The balancer's
    lock guards it."""

    def __init__(self, folders: tuple[Path, ...], own: Path) -> None:
        self._folders = folders
        self._own = own
        self._held: dict[str, _Held] = {}

    def look(self, given: Mapping[str, bytes] = NONE_GIVEN) -> Ring:
        """What is to be served now; the copies are on disk when it returns. `given` are certificates with their keys by
        names that stay theirs. Raises OSError where the copies cannot be kept."""
        now = time.time()
        for number, folder in enumerate(self._folders):
            try:
                found = sources(folder)
            except OSError:
                found = ()  # what was good serves on for a while, and the folder is named by `certificate_states`
            for source in found:
                self._look_at(f"{number}-{source.name}", source, now)
        for name, pem in given.items():
            self._look_at_given(f"{len(self._folders)}-{name}", pem, now)
        self._held = {label: held for label, held in self._held.items() if now - held.seen_at < GONE_SECONDS}
        return Ring(tuple(self._entries(now)))

    def problem(self, name: str) -> str:
        """Why what was given by this name is not served; empty where it is, or was never given."""
        held = self._held.get(f"{len(self._folders)}-{name}")
        return held.problem if held else ""

    def tidy(self, ring: Ring) -> None:
        """Remove the copies that nothing needs any more; to be called when HAProxy's files are those of `ring`."""
        needed = {entry.file for entry in ring.entries}
        needed |= {_copy(label, held.good) for label, held in self._held.items() if held.good}
        for file in self._own.glob("*.pem"):
            if file.name not in needed:
                file.unlink(missing_ok=True)

    def _look_at(self, label: str, source: Source, now: float) -> None:
        held = self._held.get(label)
        if held is None:
            held = self._held[label] = _Held(good=self._remembered(label, now))
        held.seen_at = now
        try:
            signature = source.signature()
        except OSError:
            held.signature, held.problem = None, "it cannot be read"
            return
        if signature == held.signature and not (held.problem and now - held.read_at > LOOK_AGAIN_SECONDS):
            return
        try:
            pem = read(source)
            known = held.good is not None and held.good.pem == pem  # HAProxy took it before
            held.good = parse(pem, now) if known else checked(pem, now)
            held.problem = ""
        except Defect as defect:
            held.problem = str(defect)
        held.signature, held.read_at = signature, now

    def _look_at_given(self, label: str, pem: bytes, now: float) -> None:
        held = self._held.get(label)
        if held is None:
            held = self._held[label] = _Held(good=self._remembered(label, now))
        held.seen_at = now
        signature: Signature = ((hashlib.sha256(pem).hexdigest(), 0, 0, 0),)
        if signature == held.signature and not (held.problem and now - held.read_at > LOOK_AGAIN_SECONDS):
            return
        try:
            known = held.good is not None and held.good.pem == pem
            held.good = parse(pem, now) if known else checked(pem, now)
            held.problem = ""
        except Defect as defect:
            held.problem = str(defect)
        held.signature, held.read_at = signature, now

    def _remembered(self, label: str, now: float) -> Certificate | None:
        """What an earlier controller served for a source that may be broken by now."""
        known = [file for file in self._own.glob("*.pem") if file.name.startswith(f"{_label(label)}.")]
        for file in sorted(known, key=lambda file: file.stat().st_mtime, reverse=True):
            try:
                return parse(file.read_bytes(), now)
            except (OSError, Defect):
                continue
        return None

    def _entries(self, now: float) -> Iterable[Entry]:
        """Each name once: of two certificates for it, that of the earlier folder, then the one that is valid longer."""
        taken: set[str] = set()
        for label, held in sorted(self._held.items(), key=_order):
            if held.good is None:
                continue
            try:
                check_time(held.good, now)
            except Defect:
                continue
            names = tuple(name for name in held.good.names if name not in taken)
            taken.update(names)
            if names:
                self._write(_copy(label, held.good), held.good.pem)
                yield Entry(file=_copy(label, held.good), names=names)

    def _write(self, name: str, pem: bytes) -> None:
        file = self._own / name
        if file.exists():
            return
        self._own.mkdir(mode=0o700, exist_ok=True)
        draft = self._own / f".{name}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
            handle.write(pem)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(file)


def checked(pem: bytes, now: float) -> Certificate:
    """A certificate that HAProxy takes too: what it refuses would keep every other change out. Raises Defect."""
    found = parse(pem, now)
    with tempfile.TemporaryDirectory(prefix="imageforge-certificate-") as directory:
        file = Path(directory) / "candidate.pem"
        file.touch(mode=0o600)
        file.write_bytes(pem)
        config = Path(directory) / "haproxy.cfg"
        config.write_text(
            "global\n    default-path config\n"
            "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
            "frontend candidate\n    bind 127.0.0.1:1 ssl crt candidate.pem\n"
        )
        refused = check(config)
    if refused:
        raise Defect(f"HAProxy refuses it: {_reason(refused)}")
    return found


def certificate_states(folders: tuple[Path, ...], *, tried: bool = True) -> tuple[CertificateState, ...]:
    """Every certificate in these folders as it stands now, the broken ones with the reason; with `tried`, what HAProxy
    says of each too, which takes some 20 ms. Writes nothing."""
    now = time.time()
    states: list[CertificateState] = []
    for folder in folders:
        try:
            found = sources(folder)
        except OSError as error:
            states.append(CertificateState(file=str(folder), problem=f"it cannot be read: {error.strerror}"))
            continue
        for source in found:
            file = str(folder / source.name)
            try:
                good = checked(read(source), now) if tried else parse(read(source), now)
                states.append(
                    CertificateState(file=file, names=good.names, not_before=good.not_before, not_after=good.not_after)
                )
            except Defect as defect:
                states.append(CertificateState(file=file, problem=str(defect)))
    return tuple(states)


def _order(item: tuple[str, _Held]) -> tuple[int, float, str]:
    label, held = item
    return int(label.partition("-")[0]), -(held.good.not_after if held.good else 0.0), label


def _copy(label: str, certificate: Certificate) -> str:
    return f"{_label(label)}.{hashlib.sha256(certificate.pem).hexdigest()[:16]}.pem"


def _label(label: str) -> str:
    """As a file name that the balancer's list can hold; another source never has the same."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", label)[:100]
    return f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _reason(output: str) -> str:
    lines = [line for line in output.splitlines() if "candidate.pem" in line]
    first = (lines or output.strip().splitlines() or ["it does not say why"])[0]
    return first.rpartition("candidate.pem")[2].strip(" '.:") or first

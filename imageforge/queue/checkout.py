"""From a stored source to a folder that can be built."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.errors import Cancelled
from imageforge.pipeline.event import StageLog
from imageforge.queue.contexts import Contexts
from imageforge.queue.spec import ArchiveSource, GitSource
from imageforge.report.units import megabytes
from imageforge.sources import GitCredentials, GitPolicy, Limits, checkout, ls_remote, parse_git_url, unpack
from imageforge.store import Build, Database, Purpose, SealedSecrets
from imageforge.vault import Vault
from imageforge.webhooks import skips_ci


def fetch(
    source: ArchiveSource | GitSource,
    build: Build,
    scratch: Path,
    home: Home,
    settings: Settings,
    credentials: GitCredentials,
    log: StageLog,
    cancelled: threading.Event,
    *,
    built: Callable[[str], bool],
) -> Path:
    """The source's folder, below `scratch`, which is made. Deliveries come out of order: where the branch has gone on,
    its tip is what is built, unless there is a build of it, which `built` knows. Raises what `sources` raises;
    Cancelled (`build-superseded`) where there is one, (`build-skipped`) where the tip's message says ``[skip ci]``."""
    folder = scratch / "context"
    scratch.mkdir(mode=0o700, exist_ok=True)
    if isinstance(source, ArchiveSource):
        archive = Contexts(home.contexts).path(source.digest)
        unpacked = unpack(archive, folder, Limits(bytes=settings.context_limit * 1024 * 1024))
        log.summary = f"{unpacked.files} files, {megabytes(unpacked.bytes)}, uploaded"
        return folder
    url, policy = parse_git_url(source.url, git_policy(settings)), git_policy(settings)
    if source.tip_only and source.commit is not None:
        tip = ls_remote(url, source.ref, policy=policy, credentials=credentials, cancelled=cancelled)
        if tip != source.commit:
            if built(tip):
                raise Cancelled("build-superseded", f"build {build.id}", f"{source.ref} has gone on to {tip[:12]}")
            source = replace(source, commit=tip)
    found = checkout(
        url,
        source.ref,
        source.commit,
        folder,
        policy=policy,
        credentials=credentials,
        timeout=settings.build_timeout,
        cancelled=cancelled,
    )
    if source.tip_only and skips_ci(found.message):
        raise Cancelled("build-skipped", f"build {build.id}", f"{found.commit[:12]} says not to build it")
    log.summary = f"{source.ref} at {found.commit[:12]}"
    log.data.update(revision=found.commit, message=found.message.partition("\n")[0][:200])
    return folder


def git_policy(settings: Settings) -> GitPolicy:
    """Where sources may be fetched from."""
    networks = tuple(ipaddress.ip_network(word) for word in settings.git_networks)
    return GitPolicy(allow_http=settings.git_http, allow_networks=networks)


def git_credentials(app: str, database: Database, vault: Vault) -> GitCredentials:
    """What was set for an app to fetch its private source with."""
    sealed = SealedSecrets(database).of(app, Purpose.SOURCE)
    found = {name: vault.open(value) for (_, name), value in sealed.items()}
    return GitCredentials(
        token=found.get("token"), deploy_key=found.get("deploy-key"), known_hosts=found.get("known-hosts")
    )

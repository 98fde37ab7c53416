"""GitHub: a commit status for each step of a build, and the deploy report as a comment on the commit; pure.

https://docs.github.com/en/rest/commits/statuses and https://docs.github.com/en/rest/commits/comments
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imageforge.report.deploy import DeployReport, as_markdown
from imageforge.store import Build, BuildStatus, Draft, Release

STATUS_TARGET = "github-status"
REPORT_TARGET = "github-report"
LONGEST_DESCRIPTION = 140
"""Characters; GitHub refuses a longer one."""
LONGEST_COMMENT = 65_000
"""Characters; GitHub refuses more than 65,536."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"/?(?P<owner>[A-Za-z0-9_.-]+)/(?P<name>[A-Za-z0-9_.-]+?)(?:\.git)?/?")
_STATES: Mapping[BuildStatus, str] = {
    BuildStatus.QUEUED: "pending",
    BuildStatus.RUNNING: "pending",
    BuildStatus.SUCCEEDED: "success",
    BuildStatus.REFUSED: "failure",
    BuildStatus.FAILED: "failure",
    BuildStatus.CANCELLED: "error",
    BuildStatus.SUPERSEDED: "error",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A repository at GitHub."""

    owner: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/repos/{self.owner}/{self.name}"


def repository_of(host: str, path: str, *, api: str) -> Repository | None:
    """The repository at a git address, where that is at the GitHub whose API is `api`."""
    served = urlsplit(api).hostname or ""
    served = "github.com" if served == "api.github.com" else served
    match = _REPOSITORY.fullmatch(path)
    if host != served or match is None or {match["owner"], match["name"]} & {".", ".."}:
        return None
    return Repository(owner=match["owner"], name=match["name"])


def drafts(build: Build, release: Release | None, repository: Repository, *, url: str) -> tuple[Draft, ...]:
    """What GitHub is to be told of a build as it stands. `url` is the build's, for whoever follows the status."""
    if build.status not in _STATES or not _COMMIT.fullmatch(build.revision):
        return ()
    status = {
        "path": f"{repository.path}/statuses/{build.revision}",
        "body": {
            "state": _STATES[build.status],
            "context": f"imageforge/{build.app}",
            "description": shortened(describe(build, release), LONGEST_DESCRIPTION),
            "target_url": url,
        },
    }
    told = [Draft(target=STATUS_TARGET, event=build.status.value, payload=status, replaces=True)]
    report = _report(build, release)
    if report is not None:
        comment = {
            "path": f"{repository.path}/commits/{build.revision}/comments",
            "body": {"body": shortened(as_markdown(report), LONGEST_COMMENT)},
        }
        told.append(Draft(target=REPORT_TARGET, event="report", payload=comment))
    return tuple(told)


def describe(build: Build, release: Release | None) -> str:
    """Where a build stands, in a line."""
    error = build.error or {}
    report = _report(build, release)
    image = (build.reference or "an image").rpartition("/")[2]
    failure = f"{error.get('code', 'failed')}: {error.get('subject', build.app)}: {error.get('message', '')}"
    return {
        BuildStatus.HELD: f"build {build.id} waits for its push",
        BuildStatus.QUEUED: f"build {build.id} waits",
        BuildStatus.RUNNING: f"build {build.id} is under way",
        BuildStatus.SUCCEEDED: f"built {image}"
        if report is None
        else f"release {report.release} serves, {report.failed} of {report.requests} requests failed",
        BuildStatus.REFUSED: failure,
        BuildStatus.FAILED: failure,
        BuildStatus.CANCELLED: str(error.get("message") or "cancelled"),
        BuildStatus.SUPERSEDED: f"superseded by build {build.superseded_by}",
    }[build.status]


def shortened(text: str, most: int) -> str:
    """At most so many characters, with a sign that there was more."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _report(build: Build, release: Release | None) -> DeployReport | None:
    raw: Mapping[str, Any] = (release.report if release else None) or {}
    if build.status is not BuildStatus.SUCCEEDED or "requests" not in raw or build.release is None:
        return None
    return DeployReport.from_json(raw)

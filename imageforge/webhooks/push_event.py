"""The documents that providers send for a push, with the fields that they document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from imageforge.webhooks.delivery import is_zeros

Json = dict[str, object]

_LOGIN, _NAME, _EMAIL = "imageforge", "imageforge", "imageforge@localhost"
_PERSON = {"name": _NAME, "email": _EMAIL, "username": _LOGIN}


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """What was pushed, and when (Unix time in seconds)."""

    repository: str
    clone_url: str
    branch: str
    before: str
    after: str
    message: str
    paths: tuple[str, ...]
    now: float

    @property
    def ref(self) -> str:
        """The full name of the branch."""
        return f"refs/heads/{self.branch}"

    @property
    def deletes(self) -> bool:
        """Whether the branch is gone afterwards."""
        return is_zeros(self.after)

    @property
    def page(self) -> str:
        """The repository's page."""
        return self.clone_url.removesuffix(".git")

    @property
    def host(self) -> str:
        """The scheme and host of the page."""
        return self.page.removesuffix(self.repository).rstrip("/")

    @property
    def ssh_url(self) -> str:
        """The address for SSH on the same host."""
        return f"git@{urlsplit(self.clone_url).hostname or 'localhost'}:{self.repository}.git"

    @property
    def owner(self) -> str:
        """The first part of the full name."""
        return self.repository.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the full name."""
        return self.repository.rpartition("/")[2]

    @property
    def moment(self) -> str:
        """The time in ISO 8601."""
        return datetime.fromtimestamp(self.now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def github_push(push: Push) -> Json:
    """GitHub's `push`."""
    commit = {"distinct": True, "tree_id": push.after, **_commit(push, f"{push.page}/commit/{push.after}")}
    return {
        "ref": push.ref,
        "before": push.before,
        "after": push.after,
        "repository": github_repository(push),
        "pusher": {"name": _LOGIN, "email": _EMAIL},
        "sender": _github_user(_LOGIN),
        "created": is_zeros(push.before),
        "deleted": push.deletes,
        "forced": False,
        "base_ref": None,
        "compare": f"{push.page}/compare/{push.before[:12]}...{push.after[:12]}",
        "commits": [] if push.deletes else [commit],
        "head_commit": None if push.deletes else commit,
    }


def github_ping(push: Push, *, hook_id: int) -> Json:
    """GitHub's `ping`."""
    return {
        "zen": "Keep it logically awesome.",
        "hook_id": hook_id,
        "hook": {
            "type": "Repository",
            "id": hook_id,
            "name": "web",
            "active": True,
            "events": ["push"],
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********"},
            "created_at": push.moment,
            "updated_at": push.moment,
        },
        "repository": github_repository(push),
        "sender": _github_user(_LOGIN),
    }


def github_repository(push: Push) -> Json:
    """GitHub's `repository`."""
    return {
        "id": 1,
        "name": push.name,
        "full_name": push.repository,
        "private": False,
        "owner": _github_user(push.owner),
        "html_url": push.page,
        "clone_url": push.clone_url,
        "ssh_url": push.ssh_url,
        "git_url": push.clone_url,
        "default_branch": push.branch,
        "pushed_at": int(push.now),
    }


def gitea_push(push: Push) -> Json:
    """Gitea's and Forgejo's `push`."""
    head = None if push.deletes else {**_commit(push, f"{push.page}/commit/{push.after}"), "verification": None}
    commits = [head] if head else []
    return {**gogs_push(push), "commits": commits, "total_commits": len(commits), "head_commit": head}


def gogs_push(push: Push) -> Json:
    """Gogs's `push`: without `total_commits` and `head_commit`."""
    return {
        "ref": push.ref,
        "before": push.before,
        "after": push.after,
        "compare_url": f"{push.page}/compare/{push.before}...{push.after}",
        "commits": [] if push.deletes else [_commit(push, f"{push.page}/commit/{push.after}")],
        "repository": {
            "id": 1,
            "owner": _gitea_user(push.owner),
            "name": push.name,
            "full_name": push.repository,
            "private": False,
            "fork": False,
            "html_url": push.page,
            "ssh_url": push.ssh_url,
            "clone_url": push.clone_url,
            "default_branch": push.branch,
        },
        "pusher": _gitea_user(_LOGIN),
        "sender": _gitea_user(_LOGIN),
    }


def gitlab_push(push: Push) -> Json:
    """GitLab's `push`."""
    commits = [] if push.deletes else [_gitlab_commit(push)]
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": push.before,
        "after": push.after,
        "ref": push.ref,
        "ref_protected": False,
        "checkout_sha": None if push.deletes else push.after,
        "message": None,
        "user_id": 1,
        "user_name": _NAME,
        "user_username": _LOGIN,
        "user_email": None,
        "user_avatar": None,
        "project_id": 1,
        "project": {
            "id": 1,
            "name": push.name,
            "description": "",
            "web_url": push.page,
            "avatar_url": None,
            "git_ssh_url": push.ssh_url,
            "git_http_url": push.clone_url,
            "namespace": push.owner,
            "visibility_level": 0,
            "path_with_namespace": push.repository,
            "default_branch": push.branch,
            "ci_config_path": None,
            "homepage": push.page,
            "url": push.ssh_url,
            "ssh_url": push.ssh_url,
            "http_url": push.clone_url,
        },
        "commits": commits,
        "total_commits_count": len(commits),
        "push_options": {},
        "repository": {
            "name": push.name,
            "url": push.ssh_url,
            "description": "",
            "homepage": push.page,
            "git_http_url": push.clone_url,
            "git_ssh_url": push.ssh_url,
            "visibility_level": 0,
        },
    }


def _commit(push: Push, url: str) -> Json:
    return {
        "id": push.after,
        "message": push.message,
        "timestamp": push.moment,
        "url": url,
        "author": _PERSON,
        "committer": _PERSON,
        "added": [],
        "removed": [],
        "modified": list(push.paths),
    }


def _gitlab_commit(push: Push) -> Json:
    fields = _commit(push, f"{push.page}/-/commit/{push.after}")
    del fields["committer"]
    return {**fields, "title": push.message.partition("\n")[0], "author": {"name": _NAME, "email": _EMAIL}}


def _github_user(login: str) -> Mapping[str, object]:
    return {"login": login, "id": 1, "type": "User", "site_admin": False}


def _gitea_user(login: str) -> Mapping[str, object]:
    return {"id": 1, "login": login, "username": login, "full_name": "", "email": _EMAIL, "avatar_url": ""}

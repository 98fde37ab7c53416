"""From a provider's document to a Delivery."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from imageforge.webhooks.delivery import Delivery, DeliveryKind, is_zeros
from imageforge.webhooks.document import Document
from imageforge.webhooks.headers import lowered
from imageforge.webhooks.provider import EVENT_HEADER, Provider

GITHUB_COMMITS = 2048
"""GitHub lists at most so many commits of a push."""

FEED_COMMITS = 5
"""Gitea and Gogs list at most so many (FEED_MAX_COMMIT_NUM); Gogs and old Giteas do not say of how many."""

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
"""What git-check-ref-format lets through, less its rules about dots and slashes."""

_ID_HEADER = {
    Provider.FORGEJO: "x-forgejo-delivery",
    Provider.GITEA: "x-gitea-delivery",
    Provider.GOGS: "x-gogs-delivery",
    Provider.GITHUB: "x-github-delivery",
}
_GITLAB_KINDS = {"push hook": "push", "tag push hook": "tag_push"}


def parse(provider: Provider, headers: Mapping[str, str], document: bytes) -> Delivery:
    """Read a document that `verify` gave.

    Events that nobody asked for become DeliveryKind.OTHER, so that they can be answered with 200. Raises
    MalformedDelivery (`delivery-malformed`), and nothing else, for what is no JSON object or has a field of the wrong
    type.
    """
    names = lowered(headers)
    fields = Document.read(document)
    event = names.get(EVENT_HEADER[provider], "").lower()
    base = Delivery(provider=provider, kind=DeliveryKind.OTHER, id=_id(provider, names, document))
    if provider is Provider.GITLAB:
        return _gitlab(base, event, fields)
    return _github_like(base, event, fields)


def _id(provider: Provider, names: Mapping[str, str], document: bytes) -> str:
    if provider is Provider.GITLAB:
        # Both are equal in a delivery of GitLab's; under a signature only webhook-id is proved.
        first = ["webhook-id", "idempotency-key"] if "webhook-signature" in names else ["idempotency-key", "webhook-id"]
        given = (names.get(name, "") for name in (*first, "x-gitlab-event-uuid"))
    else:
        given = (names.get(name, "") for name in (_ID_HEADER[provider],))
    return next(filter(None, given), "") or hashlib.sha256(document).hexdigest()


def _github_like(base: Delivery, event: str, fields: Document) -> Delivery:
    """GitHub, and those who took its shape: Gogs, Gitea, Forgejo."""
    repository = fields.child("repository")
    base = replace(
        base,
        repository=repository.text("full_name") if repository else "",
        clone_url=repository.text("clone_url") if repository else "",
        ssh_url=repository.text("ssh_url") if repository else "",
        sender=_login(fields.child("sender")) or _login(fields.child("pusher")),
    )
    match event:
        case "push":
            if not base.repository:
                raise fields.wrong("repository.full_name", "missing")
            return _push(replace(base, forced=fields.flag("forced")), fields, total=_total(base.provider, fields))
        case "create" | "delete":
            return _create_or_delete(base, event, fields)
        case "ping":
            return replace(base, kind=DeliveryKind.PING)
        case _:
            return base


def _gitlab(base: Delivery, event: str, fields: Document) -> Delivery:
    project = fields.child("project")
    base = replace(
        base,
        repository=project.text("path_with_namespace") if project else "",
        clone_url=project.text("git_http_url") if project else "",
        ssh_url=project.text("git_ssh_url") if project else "",
    )
    # The signed body says what it is; some events of groups say so in the header only.
    if (fields.text("object_kind") or _GITLAB_KINDS.get(event, "")) not in {"push", "tag_push"}:
        return base
    if not base.repository:
        raise fields.wrong("project.path_with_namespace", "missing")
    base = replace(base, sender=fields.text("user_username") or fields.text("user_name"))
    return _push(base, fields, total=fields.count("total_commits_count"))


def _push(base: Delivery, fields: Document, *, total: int | None) -> Delivery:
    ref, before, after = fields.text("ref"), fields.commit("before"), fields.commit("after")
    push = replace(base, ref=_full_ref(ref, fields), branch=_branch(ref), before=before, after=after)
    if is_zeros(before) and is_zeros(after):
        return replace(push, kind=DeliveryKind.TEST)
    if is_zeros(after) or fields.flag("deleted"):
        return replace(push, kind=DeliveryKind.DELETE)
    if ref.startswith(_TAGS):
        return replace(push, kind=DeliveryKind.TAG)
    if push.branch is None:
        return push
    commits = fields.children("commits")
    complete = not push.forced and not is_zeros(before) and total == len(commits)
    return replace(
        push,
        kind=DeliveryKind.PUSH,
        message=_head_message(fields.child("head_commit"), commits, after),
        paths=_paths(commits) if complete else None,
    )


def _create_or_delete(base: Delivery, event: str, fields: Document) -> Delivery:
    """The events with a short name of a ref, and its type beside it.

    A new branch comes as a push as well, so its `create` is nobody's. Gitea tells of a deleted branch by `delete`
    alone.
    """
    prefix = {"branch": _HEADS, "tag": _TAGS}.get(fields.text("ref_type"))
    name = fields.text("ref")
    if prefix and name:
        ref = _full_ref(name if name.startswith("refs/") else prefix + name, fields)
        base = replace(base, ref=ref, branch=_branch(ref), after=fields.commit("sha") if fields.text("sha") else "")
    if event == "delete":
        return replace(base, kind=DeliveryKind.DELETE)
    return replace(base, kind=DeliveryKind.TAG) if prefix == _TAGS else base


def _total(provider: Provider, fields: Document) -> int | None:
    """How many commits the push has; None when `commits` may leave some out without a word."""
    name, limit = ("size", GITHUB_COMMITS) if provider is Provider.GITHUB else ("total_commits", FEED_COMMITS)
    total = fields.count(name)
    if total is not None:
        return total
    listed = len(fields.children("commits"))
    return listed if listed < limit else None


def _paths(commits: tuple[Document, ...]) -> frozenset[str] | None:
    """The files of all commits, None if one of them names none.

    An empty commit looks the same as one so large that GitHub gave up listing its files. No commit at all is a branch
    moved back, and says nothing of what was undone.
    """
    touched = [
        frozenset((*commit.texts("added"), *commit.texts("modified"), *commit.texts("removed"))) for commit in commits
    ]
    return frozenset[str]().union(*touched) if touched and all(touched) else None


def _head_message(head: Document | None, commits: tuple[Document, ...], after: str) -> str:
    if head is not None:
        return head.text("message")
    # By id: GitLab lists the oldest commit first, Gogs the newest.
    return next((commit.text("message") for commit in commits if commit.text("id").lower() == after), "")


def _login(user: Document | None) -> str:
    return (user.text("login") or user.text("username") or user.text("name")) if user else ""


def _full_ref(ref: str, fields: Document) -> str:
    if not _REF.fullmatch(ref):
        raise fields.wrong("ref", "not a git ref")
    return ref


def _branch(ref: str) -> str | None:
    return ref.removeprefix(_HEADS) if ref.startswith(_HEADS) else None

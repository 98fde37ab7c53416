"""Deliveries of our own making, as a provider would send them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from imageforge.errors import UsageError
from imageforge.webhooks import form as forms
from imageforge.webhooks.provider import Provider
from imageforge.webhooks.push_event import Json, Push, gitea_push, github_ping, github_push, gitlab_push, gogs_push
from imageforge.webhooks.signature import hex_digest, standard_signature

_HOOK_ID = 1
_PREFIXES = {
    Provider.FORGEJO: ("X-Forgejo", "X-Gitea", "X-Gogs", "X-GitHub"),
    Provider.GITEA: ("X-Gitea", "X-Gogs", "X-GitHub"),
    Provider.GOGS: ("X-Gogs", "X-GitHub"),
}
"""Whose headers each sends: its own, and those of its ancestors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRequest:
    """What to POST."""

    headers: dict[str, str]
    body: bytes


def sample(
    provider: Provider,
    *,
    secret: str,
    repository: str,
    clone_url: str,
    branch: str,
    before: str,
    after: str,
    message: str = "Try the webhook",
    paths: tuple[str, ...] = (),
    delivery_id: str,
    now: float,
    signing: bool = False,
    form: bool = False,
) -> SampleRequest:
    """A push of one commit that touched `paths`.

    An empty secret gives what the provider sends without one. `signing` is GitLab 19's scheme, with a secret
    `whsec_…`. Raises UsageError (`sample-unsupported`) for a form of GitLab's, or for signing by another provider.
    """
    push = Push(
        repository=repository,
        clone_url=clone_url,
        branch=branch,
        before=before,
        after=after,
        message=message,
        paths=tuple(paths),
        now=now,
    )
    if signing and provider is not Provider.GITLAB:
        raise _unsupported(provider, "has no signing scheme beside its signature header")
    match provider:
        case Provider.GITHUB:
            return _github("push", github_push(push), secret=secret, delivery_id=delivery_id, form=form)
        case Provider.GITLAB if form:
            raise _unsupported(provider, "sends no forms")
        case Provider.GITLAB:
            return _gitlab(push, secret=secret, delivery_id=delivery_id, signing=signing)
        case _:
            return _gitea(provider, push, secret=secret, delivery_id=delivery_id, form=form)


def sample_ping(
    provider: Provider,
    *,
    secret: str,
    repository: str,
    clone_url: str,
    delivery_id: str,
    now: float,
    form: bool = False,
) -> SampleRequest:
    """GitHub's greeting to a new webhook. Raises UsageError (`sample-unsupported`): no other provider has one."""
    if provider is not Provider.GITHUB:
        raise _unsupported(provider, "sends no ping")
    push = Push(
        repository=repository,
        clone_url=clone_url,
        branch="main",
        before="",
        after="",
        message="",
        paths=(),
        now=now,
    )
    ping = github_ping(push, hook_id=_HOOK_ID)
    return _github("ping", ping, secret=secret, delivery_id=delivery_id, form=form)


def _github(event: str, document: Json, *, secret: str, delivery_id: str, form: bool) -> SampleRequest:
    text = _text(document)
    body = forms.encode(text) if form else text
    headers = {
        "Accept": "*/*",
        "Content-Type": forms.CONTENT_TYPE if form else "application/json",
        "User-Agent": "GitHub-Hookshot/imageforge",
        "X-GitHub-Delivery": delivery_id,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(_HOOK_ID),
        "X-GitHub-Hook-Installation-Target-ID": "1",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if secret:
        headers |= _hub_signatures(secret, body)
    return SampleRequest(headers=headers, body=body)


def _gitea(provider: Provider, push: Push, *, secret: str, delivery_id: str, form: bool) -> SampleRequest:
    text = _text(gogs_push(push) if provider is Provider.GOGS else gitea_push(push), indent=2)
    headers = {"Content-Type": forms.CONTENT_TYPE if form else "application/json", "User-Agent": "Go-http-client/1.1"}
    for prefix in _PREFIXES[provider]:
        headers |= {f"{prefix}-Delivery": delivery_id, f"{prefix}-Event": "push"}
        if provider is not Provider.GOGS:
            headers[f"{prefix}-Event-Type"] = "push"
        if prefix != "X-GitHub":
            headers[f"{prefix}-Signature"] = hex_digest(secret, text) if secret else ""
    if provider is not Provider.GOGS:
        headers |= _hub_signatures(secret, text)
    return SampleRequest(headers=headers, body=forms.encode(text) if form else text)


def _gitlab(push: Push, *, secret: str, delivery_id: str, signing: bool) -> SampleRequest:
    text = _text(gitlab_push(push))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitLab/19.0.0",
        "X-Gitlab-Event": "Push Hook",
        "X-Gitlab-Instance": push.host,
        "X-Gitlab-Webhook-UUID": f"{delivery_id}-request",
        "X-Gitlab-Event-UUID": f"{delivery_id}-event",
        "Idempotency-Key": delivery_id,
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(push.now)),
    }
    if signing:
        signature = standard_signature(secret, message_id=delivery_id, timestamp=int(push.now), text=text)
        if signature is None:
            raise _unsupported(Provider.GITLAB, "signs with a secret `whsec_<base64>` only")
        headers["webhook-signature"] = signature
    elif secret:
        headers["X-Gitlab-Token"] = secret
    return SampleRequest(headers=headers, body=text)


def _hub_signatures(secret: str, text: bytes) -> dict[str, str]:
    """GitHub's two headers; without a secret there is nothing behind the prefix."""
    return {
        "X-Hub-Signature": "sha1=" + (hex_digest(secret, text, "sha1") if secret else ""),
        "X-Hub-Signature-256": "sha256=" + (hex_digest(secret, text) if secret else ""),
    }


def _text(document: Json, indent: int | None = None) -> bytes:
    separators = (",", ":") if indent is None else None
    return json.dumps(document, ensure_ascii=False, indent=indent, separators=separators).encode("utf-8", "replace")


def _unsupported(provider: Provider, message: str) -> UsageError:
    return UsageError("sample-unsupported", f"webhook sample of {provider}", message, hint="leave the option out")

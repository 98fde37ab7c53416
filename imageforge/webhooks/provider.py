"""Who sent a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from imageforge.webhooks.headers import lowered


class Provider(StrEnum):
    """The forges whose webhooks are understood."""

    FORGEJO = "forgejo"
    GITEA = "gitea"
    GOGS = "gogs"
    GITLAB = "gitlab"
    GITHUB = "github"


EVENT_HEADER = {
    Provider.FORGEJO: "x-forgejo-event",
    Provider.GITEA: "x-gitea-event",
    Provider.GOGS: "x-gogs-event",
    Provider.GITLAB: "x-gitlab-event",
    Provider.GITHUB: "x-github-event",
}
"""In the order of asking: Forgejo also sends Gitea's headers, both send Gogs's, and all three send GitHub's."""


def identify(headers: Mapping[str, str]) -> Provider | None:
    """The provider whose event header is there, None if there is none."""
    names = lowered(headers)
    return next((provider for provider, name in EVENT_HEADER.items() if name in names), None)

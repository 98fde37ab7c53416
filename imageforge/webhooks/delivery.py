"""What a provider told us, in one shape for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from imageforge.webhooks.provider import Provider

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit's id, SHA-1 or SHA-256, in lower case."""


class DeliveryKind(StrEnum):
    """What happened."""

    PUSH = "push"
    TAG = "tag"
    DELETE = "delete"
    PING = "ping"
    TEST = "test"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One delivery. Texts that the provider did not give are empty.

    `id` is the same when the provider repeats the delivery. `ref` is a full one (`refs/heads/main`). `before` and
    `after` are commit ids, or zeros where there is no commit. `message` is the head commit's. `paths` are the files
    that any of the commits touched, None when the list may be incomplete.
    """

    provider: Provider
    kind: DeliveryKind
    id: str
    ref: str = ""
    branch: str | None = None
    before: str = ""
    after: str = ""
    forced: bool = False
    message: str = ""
    paths: frozenset[str] | None = None
    repository: str = ""
    clone_url: str = ""
    ssh_url: str = ""
    sender: str = ""


def is_zeros(commit: str) -> bool:
    """Whether an id stands for "no commit"."""
    return bool(commit) and not commit.strip("0")

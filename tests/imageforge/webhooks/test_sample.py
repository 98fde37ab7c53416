"""The round trip, over every provider in every shape it has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageforge.errors import UsageError
from imageforge.webhooks import (
    Decision,
    DeliveryKind,
    Provider,
    Rules,
    SampleRequest,
    decide,
    identify,
    parse,
    sample_ping,
    verify,
)

from .scene import AFTER, BEFORE, FORM_SENDERS, NOW, SECRET, SIGNING_SECRET, ZEROS, push

RULES = Rules(branch="main", watch=("api/**",))
SHAPES: list[tuple[Provider, dict[str, Any]]] = [
    *((provider, {}) for provider in Provider),
    *((provider, {"form": True}) for provider in FORM_SENDERS),
    (Provider.GITLAB, {"signing": True, "secret": SIGNING_SECRET}),
]


@pytest.mark.parametrize(("provider", "shape"), SHAPES)
class TestRoundTrip:
    """sample, identify, verify, parse, decide."""

    @pytest.mark.parametrize(
        ("changes", "decision"),
        [
            ({}, Decision(build=True, reason="push")),
            ({"before": ZEROS}, Decision(build=True, reason="push")),
            ({"paths": ()}, Decision(build=True, reason="push")),
            ({"paths": ("web/x",)}, Decision(build=False, reason="no-watched-path")),
            ({"branch": "next"}, Decision(build=False, reason="branch-not-deployed")),
            ({"message": "Wait [skip ci]"}, Decision(build=False, reason="skip-ci")),
            ({"before": AFTER}, Decision(build=False, reason="nothing-new")),
            ({"after": ZEROS}, Decision(build=False, reason="deleted")),
            ({"before": ZEROS, "after": ZEROS}, Decision(build=False, reason="test")),
        ],
    )
    def test_decision(
        self, provider: Provider, shape: dict[str, Any], changes: dict[str, Any], decision: Decision
    ) -> None:
        request = push(provider, **shape | changes)
        assert identify(request.headers) is provider
        document = verify(provider, request.headers, request.body, shape.get("secret", SECRET), now=NOW)
        delivery = parse(provider, request.headers, document)
        assert decide(delivery, RULES) == decision
        assert delivery.id == "11111111-2222-3333-4444-555555555555"

    def test_any_text_comes_back(self, provider: Provider, shape: dict[str, Any]) -> None:
        @given(message=st.text(), path=st.text(min_size=1))
        def holds(message: str, path: str) -> None:
            request = push(provider, **shape, message=message, paths=(path,))
            document = verify(provider, request.headers, request.body, shape.get("secret", SECRET), now=NOW)
            delivery = parse(provider, request.headers, document)
            assert (delivery.message, delivery.paths) == (message, frozenset({path}))
            decide(delivery, RULES)

        holds()

    def test_headers_are_fit_for_http(self, provider: Provider, shape: dict[str, Any]) -> None:
        headers = push(provider, **shape).headers
        assert all(name.isascii() and value.isascii() and "\n" not in value for name, value in headers.items())
        assert len({name.lower() for name in headers}) == len(headers)


def fields(request: SampleRequest) -> set[str]:
    return set(json.loads(request.body))


@pytest.mark.parametrize(
    ("provider", "headers", "names"),
    [
        (
            Provider.GITHUB,
            {"X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-Hub-Signature", "X-Hub-Signature-256"},
            {"ref", "before", "after", "created", "deleted", "forced", "base_ref", "commits", "head_commit"},
        ),
        (
            Provider.GITLAB,
            {"X-Gitlab-Event", "X-Gitlab-Token", "X-Gitlab-Instance", "X-Gitlab-Webhook-UUID", "X-Gitlab-Event-UUID"}
            | {"Idempotency-Key", "webhook-id", "webhook-timestamp"},
            {"object_kind", "ref", "before", "after", "checkout_sha", "project", "commits", "total_commits_count"},
        ),
        (
            Provider.GITEA,
            {"X-Gitea-Event", "X-Gitea-Event-Type", "X-Gitea-Delivery", "X-Gitea-Signature", "X-Gogs-Signature"}
            | {"X-Hub-Signature", "X-Hub-Signature-256", "X-GitHub-Event"},
            {"ref", "before", "after", "commits", "total_commits", "head_commit", "repository", "pusher", "sender"},
        ),
        (
            Provider.FORGEJO,
            {"X-Forgejo-Event", "X-Forgejo-Delivery", "X-Forgejo-Signature", "X-Gitea-Signature", "X-GitHub-Event"},
            {"ref", "before", "after", "commits", "total_commits", "head_commit", "repository", "pusher", "sender"},
        ),
        (
            Provider.GOGS,
            {"X-Gogs-Event", "X-Gogs-Delivery", "X-Gogs-Signature", "X-GitHub-Event"},
            {"ref", "before", "after", "compare_url", "commits", "repository", "pusher", "sender"},
        ),
    ],
)
def test_what_is_documented_is_there(provider: Provider, headers: set[str], names: set[str]) -> None:
    request = push(provider)
    assert headers <= set(request.headers)
    assert names <= fields(request)


def test_without_a_secret() -> None:
    assert push(Provider.GITEA, secret="").headers["X-Gitea-Signature"] == ""
    assert push(Provider.GITEA, secret="").headers["X-Hub-Signature-256"] == "sha256="
    assert "X-Hub-Signature-256" not in push(Provider.GITHUB, secret="").headers
    assert "X-Gitlab-Token" not in push(Provider.GITLAB, secret="").headers


@pytest.mark.parametrize("form", [False, True])
def test_ping(form: bool) -> None:
    request = sample_ping(
        Provider.GITHUB,
        secret=SECRET,
        repository="team/shop",
        clone_url="https://git.example.org/team/shop.git",
        delivery_id="1",
        now=NOW,
        form=form,
    )
    document = verify(Provider.GITHUB, request.headers, request.body, SECRET, now=NOW)
    assert {"zen", "hook_id", "hook"} <= set(json.loads(document))
    delivery = parse(Provider.GITHUB, request.headers, document)
    assert (delivery.kind, delivery.repository) == (DeliveryKind.PING, "team/shop")
    assert decide(delivery, RULES).reason == "ping"


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        (Provider.GITHUB, {"signing": True}),
        (Provider.GITEA, {"signing": True}),
        (Provider.GITLAB, {"form": True}),
        (Provider.GITLAB, {"signing": True, "secret": "plain"}),
        (Provider.GITLAB, {"signing": True, "secret": ""}),
    ],
)
def test_what_no_provider_sends_is_refused(provider: Provider, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        push(provider, before=BEFORE, **changes)
    assert refused.value.code == "sample-unsupported"


@pytest.mark.parametrize("provider", [provider for provider in Provider if provider is not Provider.GITHUB])
def test_only_github_pings(provider: Provider) -> None:
    with pytest.raises(UsageError, match="ping"):
        sample_ping(provider, secret=SECRET, repository="a/b", clone_url="", delivery_id="1", now=NOW)

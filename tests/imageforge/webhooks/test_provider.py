"""Who sent it."""

from __future__ import annotations

import pytest

from imageforge.webhooks import Provider, identify

from .scene import EVENT_HEADER, push


@pytest.mark.parametrize("provider", Provider)
def test_a_sample_is_taken_for_its_provider(provider: Provider) -> None:
    assert identify(push(provider).headers) is provider


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_case_does_not_matter(case: type[str]) -> None:
    headers = {case(name): value for name, value in push(Provider.FORGEJO).headers.items()}
    assert identify(headers) is Provider.FORGEJO


def test_the_order_is_forgejo_gitea_gogs_gitlab_github() -> None:
    order = [Provider.FORGEJO, Provider.GITEA, Provider.GOGS, Provider.GITLAB, Provider.GITHUB]
    headers = {EVENT_HEADER[provider]: "push" for provider in reversed(order)}
    for provider in order:
        assert identify(headers) is provider
        del headers[EVENT_HEADER[provider]]
    assert identify(headers) is None


def test_other_requests_have_no_provider() -> None:
    assert identify({"User-Agent": "curl/8", "webhook-id": "1", "X-Hub-Signature-256": "sha256="}) is None

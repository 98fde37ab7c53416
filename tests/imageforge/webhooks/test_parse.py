"""What the providers' documents say."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageforge.webhooks import Delivery, DeliveryKind, MalformedDelivery, Provider, Rules, decide, parse

from .scene import AFTER, BEFORE, EVENT_HEADER, GITEA_FAMILY, ZEROS, document_of, push, read

EVENT = {provider: "Push Hook" if provider is Provider.GITLAB else "push" for provider in Provider}


def read_push(provider: Provider, document: object, **headers: str) -> Delivery:
    return read(provider, document, EVENT[provider], **headers)


@pytest.mark.parametrize("provider", Provider)
def test_a_push(provider: Provider) -> None:
    assert read_push(provider, document_of(provider)) == Delivery(
        provider=provider,
        kind=DeliveryKind.PUSH,
        id=hashlib.sha256(json.dumps(document_of(provider)).encode()).hexdigest(),
        ref="refs/heads/main",
        branch="main",
        before=BEFORE,
        after=AFTER,
        forced=False,
        message="Sell socks\n\nIn pairs.",
        paths=frozenset({"api/app.py"}),
        repository="team/shop",
        clone_url="https://git.example.org/team/shop.git",
        ssh_url="git@git.example.org:team/shop.git",
        sender="imageforge",
    )


@pytest.mark.parametrize(
    ("provider", "headers", "expected"),
    [
        (Provider.GITHUB, {"X-GitHub-Delivery": "g", "X-GitHub-Hook-ID": "h"}, "g"),
        (Provider.GITEA, {"X-Gitea-Delivery": "g", "X-GitHub-Delivery": "h"}, "g"),
        (Provider.FORGEJO, {"X-Forgejo-Delivery": "f", "X-Gitea-Delivery": "g"}, "f"),
        (Provider.GOGS, {"x-gogs-delivery": "g"}, "g"),
        (Provider.GITLAB, {"Idempotency-Key": "k", "webhook-id": "w", "X-Gitlab-Event-UUID": "e"}, "k"),
        (Provider.GITLAB, {"webhook-id": "w", "X-Gitlab-Event-UUID": "e"}, "w"),
        (Provider.GITLAB, {"X-Gitlab-Event-UUID": "e", "X-Gitlab-Webhook-UUID": "random"}, "e"),
        (Provider.GITLAB, {"Idempotency-Key": "forged", "webhook-id": "proved", "webhook-signature": "v1,"}, "proved"),
        (Provider.GITLAB, {"Idempotency-Key": "", "webhook-id": " "}, None),
    ],
)
def test_the_id(provider: Provider, headers: dict[str, str], expected: str | None) -> None:
    text = json.dumps(document_of(provider)).encode()
    assert read_push(provider, document_of(provider), **headers).id == (expected or hashlib.sha256(text).hexdigest())


def kinds(provider: Provider, **changes: Any) -> tuple[DeliveryKind, str | None, str]:
    delivery = read_push(provider, document_of(provider) | changes)
    return delivery.kind, delivery.branch, delivery.ref


class TestEveryProvider:
    """Events that come as a push."""

    @pytest.mark.parametrize("provider", Provider)
    def test_a_branch_with_slashes(self, provider: Provider) -> None:
        assert kinds(provider, ref="refs/heads/fix/a/b") == (DeliveryKind.PUSH, "fix/a/b", "refs/heads/fix/a/b")

    @pytest.mark.parametrize("provider", Provider)
    @pytest.mark.parametrize("before", [ZEROS, BEFORE])
    def test_a_tag(self, provider: Provider, before: str) -> None:
        assert kinds(provider, ref="refs/tags/v1", before=before) == (DeliveryKind.TAG, None, "refs/tags/v1")

    @pytest.mark.parametrize("provider", Provider)
    def test_a_tag_deleted(self, provider: Provider) -> None:
        gone: dict[str, object] = {"ref": "refs/tags/v1", "after": ZEROS, "commits": [], "head_commit": None}
        assert kinds(provider, **gone) == (DeliveryKind.DELETE, None, "refs/tags/v1")

    @pytest.mark.parametrize("provider", Provider)
    def test_a_branch_deleted(self, provider: Provider) -> None:
        document = document_of(provider, after=ZEROS)
        assert document["commits"] == []
        delivery = read_push(provider, document)
        assert (delivery.kind, delivery.branch, delivery.message, delivery.paths) == (
            DeliveryKind.DELETE,
            "main",
            "",
            None,
        )

    @pytest.mark.parametrize("provider", Provider)
    def test_another_namespace(self, provider: Provider) -> None:
        assert kinds(provider, ref="refs/notes/commits") == (DeliveryKind.OTHER, None, "refs/notes/commits")

    @pytest.mark.parametrize("provider", Provider)
    def test_a_new_branch_has_no_known_paths(self, provider: Provider) -> None:
        delivery = read_push(provider, document_of(provider, before=ZEROS))
        assert (delivery.kind, delivery.paths) == (DeliveryKind.PUSH, None)
        assert delivery.message == "Sell socks\n\nIn pairs."

    @pytest.mark.parametrize("provider", Provider)
    def test_ids_of_sha256(self, provider: Provider) -> None:
        delivery = read_push(provider, document_of(provider, before="0" * 64, after="C" * 64))
        assert (delivery.before, delivery.after, delivery.paths) == ("0" * 64, "c" * 64, None)

    @pytest.mark.parametrize("provider", Provider)
    @pytest.mark.parametrize("commits", [[], None])
    def test_no_commits_tell_nothing(self, provider: Provider, commits: list[object] | None) -> None:
        document = document_of(provider) | {"commits": commits, "total_commits": 0, "total_commits_count": 0}
        document.pop("head_commit", None)
        delivery = read_push(provider, document)
        assert (delivery.kind, delivery.message, delivery.paths) == (DeliveryKind.PUSH, "", None)

    @pytest.mark.parametrize("provider", Provider)
    def test_all_lists_of_all_commits_count(self, provider: Provider) -> None:
        document = document_of(provider)
        (head,) = document["commits"]
        first = head | {"id": "c" * 40, "message": "first", "added": ["a"], "removed": ["b"], "modified": None}
        document |= {"commits": [first, head], "total_commits": 2, "total_commits_count": 2}
        delivery = read_push(provider, document)
        assert delivery.paths == frozenset({"a", "b", "api/app.py"})
        assert delivery.message == "Sell socks\n\nIn pairs."

    @pytest.mark.parametrize("provider", Provider)
    def test_a_commit_without_files_makes_the_list_incomplete(self, provider: Provider) -> None:
        document = document_of(provider)
        (head,) = document["commits"]
        bare = {"id": "c" * 40, "message": "large"}
        document |= {"commits": [bare, head], "total_commits": 2, "total_commits_count": 2}
        assert read_push(provider, document).paths is None

    @pytest.mark.parametrize("provider", Provider)
    @pytest.mark.parametrize("name", ["before", "after"])
    @pytest.mark.parametrize("value", ["", "main", "a" * 39, "a" * 41, "g" * 40, "a" * 40 + "\n", "--upload-pack=x"])
    def test_what_is_no_commit_id_is_refused(self, provider: Provider, name: str, value: str) -> None:
        with pytest.raises(MalformedDelivery, match=name) as refused:
            read_push(provider, document_of(provider) | {name: value})
        assert (refused.value.code, refused.value.kind) == ("delivery-malformed", "usage")

    @pytest.mark.parametrize("provider", Provider)
    @pytest.mark.parametrize("value", ["", "main", "refs/", "refs/heads/a b", "refs/heads/a\x00", "refs/heads/\ud800"])
    def test_what_is_no_ref_is_refused(self, provider: Provider, value: str) -> None:
        with pytest.raises(MalformedDelivery, match="ref"):
            read_push(provider, document_of(provider) | {"ref": value})

    @pytest.mark.parametrize("provider", Provider)
    def test_a_push_without_its_repository_is_refused(self, provider: Provider) -> None:
        with pytest.raises(MalformedDelivery, match="missing"):
            read_push(provider, document_of(provider) | {"repository": None, "project": None})


class TestGitHub:
    """The rows that are GitHub's own."""

    def test_ping(self) -> None:
        delivery = read(Provider.GITHUB, {"zen": "…", "hook_id": 1, "hook": {}}, "ping")
        assert delivery.kind is DeliveryKind.PING

    def test_a_deletion_as_documented(self) -> None:
        gone = {"deleted": True, "after": ZEROS, "head_commit": None, "commits": []}
        assert kinds(Provider.GITHUB, **gone)[0] is DeliveryKind.DELETE

    def test_a_forced_push(self) -> None:
        delivery = read_push(Provider.GITHUB, document_of(Provider.GITHUB) | {"forced": True})
        assert (delivery.kind, delivery.forced, delivery.paths) == (DeliveryKind.PUSH, True, None)

    @pytest.mark.parametrize(
        ("listed", "size", "complete"),
        [(2047, None, True), (2048, None, False), (20, 21, False), (20, 20, True), (2048, 2048, True)],
    )
    def test_the_limits(self, listed: int, size: int | None, complete: bool) -> None:
        document = document_of(Provider.GITHUB)
        document |= {"commits": document["commits"] * listed, "size": size}
        assert (read_push(Provider.GITHUB, document).paths is not None) is complete

    @pytest.mark.parametrize("event", ["issues", "check_run", "", "PUSHED"])
    def test_other_events(self, event: str) -> None:
        assert read(Provider.GITHUB, {"action": "opened", "ref": 7}, event).kind is DeliveryKind.OTHER

    def test_the_pusher_stands_in_for_the_sender(self) -> None:
        document = document_of(Provider.GITHUB) | {"sender": None, "pusher": {"name": "ada"}}
        assert read_push(Provider.GITHUB, document).sender == "ada"


class TestGitLab:
    """The rows that are GitLab's own."""

    def test_a_tag_push(self) -> None:
        document = document_of(Provider.GITLAB) | {"object_kind": "tag_push", "ref": "refs/tags/v1"}
        assert read(Provider.GITLAB, document, "Tag Push Hook").kind is DeliveryKind.TAG

    @pytest.mark.parametrize(("event", "kind"), [("Push Hook", DeliveryKind.PUSH), ("Member Hook", DeliveryKind.OTHER)])
    def test_the_header_decides_where_the_body_is_silent(self, event: str, kind: DeliveryKind) -> None:
        document = document_of(Provider.GITLAB)
        del document["object_kind"]
        assert read(Provider.GITLAB, document, event).kind is kind

    def test_other_events(self) -> None:
        document = {"object_kind": "pipeline", "project": {"path_with_namespace": "a/b"}}
        delivery = read(Provider.GITLAB, document, "Pipeline Hook")
        assert (delivery.kind, delivery.repository) == (DeliveryKind.OTHER, "a/b")

    @pytest.mark.parametrize(("total", "complete"), [(1, True), (2, False), (21, False), (None, False)])
    def test_a_list_cut_short(self, total: int | None, complete: bool) -> None:
        document = document_of(Provider.GITLAB) | {"total_commits_count": total}
        assert (read_push(Provider.GITLAB, document).paths is not None) is complete

    def test_the_test_button_sends_a_push_that_brings_nothing(self) -> None:
        delivery = read_push(Provider.GITLAB, document_of(Provider.GITLAB, before=AFTER))
        assert decide(delivery, Rules(branch="main")).reason == "nothing-new"


@pytest.mark.parametrize("provider", GITEA_FAMILY)
class TestGiteaFamily:
    """The rows of Gitea, Forgejo and Gogs."""

    def test_the_test_delivery(self, provider: Provider) -> None:
        delivery = read_push(provider, document_of(provider, before=ZEROS, after=ZEROS))
        assert (delivery.kind, delivery.branch) == (DeliveryKind.TEST, "main")

    def test_the_older_test_delivery(self, provider: Provider) -> None:
        delivery = read_push(provider, document_of(provider, before=AFTER))
        assert delivery.kind is DeliveryKind.PUSH
        assert decide(delivery, Rules(branch="main")).reason == "nothing-new"

    @pytest.mark.parametrize(
        ("event", "ref_type", "ref", "kind", "branch"),
        [
            ("create", "branch", "fix/a", DeliveryKind.OTHER, "fix/a"),
            ("create", "tag", "v1", DeliveryKind.TAG, None),
            ("delete", "branch", "fix/a", DeliveryKind.DELETE, "fix/a"),
            ("delete", "tag", "v1", DeliveryKind.DELETE, None),
            ("delete", "branch", "refs/heads/fix/a", DeliveryKind.DELETE, "fix/a"),
            ("create", "repository", None, DeliveryKind.OTHER, None),
        ],
    )
    def test_create_and_delete(
        self, provider: Provider, event: str, ref_type: str, ref: str | None, kind: DeliveryKind, branch: str | None
    ) -> None:
        document = {
            "ref": ref,
            "ref_type": ref_type,
            "pusher_type": "user",
            "repository": document_of(provider)["repository"],
            "sender": {"login": "ada", "username": "ada"},
        }
        if event == "create":
            document["sha"] = AFTER
        delivery = read(provider, document, event)
        assert (delivery.kind, delivery.branch, delivery.repository) == (kind, branch, "team/shop")
        assert delivery.after == (AFTER if event == "create" and ref else "")
        assert delivery.sender == "ada"

    @pytest.mark.parametrize(
        ("listed", "total", "complete"),
        [(4, None, True), (5, None, False), (5, 5, True), (5, 6, False), (30, 30, True)],
    )
    def test_a_list_cut_short(self, provider: Provider, listed: int, total: int | None, complete: bool) -> None:
        document = document_of(provider)
        document |= {"commits": document["commits"] * listed, "total_commits": total}
        assert (read_push(provider, document).paths is not None) is complete

    def test_a_review_is_no_push(self, provider: Provider) -> None:
        assert read(provider, {"action": "reviewed"}, "pull_request_review").kind is DeliveryKind.OTHER


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(11),
)
def test_what_is_no_json_object_is_refused(provider: Provider, text: bytes) -> None:
    with pytest.raises(MalformedDelivery) as refused:
        parse(provider, {EVENT_HEADER[provider]: EVENT[provider]}, text)
    assert refused.value.code == "delivery-malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.sampled_from(["push", "create", "delete", "ping", "Push Hook", "Tag Push Hook", ""]) | st.text()
RULES = Rules(branch="main", watch=("api/**", "!api/docs/"))


def survives(provider: Provider, headers: dict[str, str], text: bytes) -> None:
    """Either a delivery that can be decided on, stored and printed, or the one error."""
    try:
        delivery = parse(provider, headers, text)
    except MalformedDelivery as refused:
        str(refused).encode()
        return
    decide(delivery, RULES)
    for value in (delivery.ref, delivery.message, delivery.repository, delivery.clone_url, delivery.sender):
        value.encode()


@given(st.sampled_from(Provider), st.dictionaries(st.text(), st.text()), EVENTS, st.binary())
def test_any_bytes(provider: Provider, headers: dict[str, str], event: str, text: bytes) -> None:
    survives(provider, headers | {EVENT_HEADER[provider]: event}, text)


@given(
    st.sampled_from(Provider), EVENTS, JSON | st.dictionaries(st.sampled_from(["ref", "repository", "sender"]), JSON)
)
def test_any_json(provider: Provider, event: str, value: object) -> None:
    survives(provider, {EVENT_HEADER[provider]: event}, json.dumps(value).encode())


def places(value: object) -> list[tuple[str | int, ...]]:
    """The path to everything within a document."""
    if isinstance(value, dict):
        inner: list[tuple[str | int, object]] = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        inner = []
    return [path for key, part in inner for path in [(key,), *((key, *rest) for rest in places(part))]]


@settings(max_examples=150)
@given(st.data(), st.sampled_from(Provider), st.sampled_from(["push", "create", "delete", "ping"]))
def test_a_push_with_anything_anywhere(data: st.DataObject, provider: Provider, event: str) -> None:
    document: Any = copy.deepcopy(document_of(provider))
    for path in data.draw(st.lists(st.sampled_from(places(document)), min_size=1, max_size=3, unique=True)):
        node = document
        for key in path[:-1]:
            if not isinstance(node, dict | list) or (isinstance(node, list) and key not in range(len(node))):
                break
            node = node.get(key) if isinstance(node, dict) else node[int(key)]
        if isinstance(node, dict):
            node[path[-1]] = data.draw(JSON)
    headers = push(provider).headers | ({} if provider is Provider.GITLAB else {EVENT_HEADER[provider]: event})
    survives(provider, headers, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ref", 1),
        ("forced", "yes"),
        ("deleted", 1),
        ("size", True),
        ("size", "1"),
        ("commits", {}),
        ("commits", [1]),
        ("commits", [{"added": "x"}]),
        ("commits", [{"added": [1]}]),
        ("head_commit", []),
        ("head_commit", {"message": 1}),
        ("repository", "team/shop"),
        ("sender", 1),
    ],
)
def test_a_field_of_the_wrong_type_is_named(path: str, value: object) -> None:
    with pytest.raises(MalformedDelivery, match=path):
        read_push(Provider.GITHUB, document_of(Provider.GITHUB) | {path: value})

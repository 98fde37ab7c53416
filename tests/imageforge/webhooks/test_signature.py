"""Proof, and the lack of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageforge.webhooks import MalformedDelivery, Provider, SignatureRefused, verify
from imageforge.webhooks.form import CONTENT_TYPE, decode, encode
from imageforge.webhooks.signature import standard_signature

from .scene import (
    FORM_SENDERS,
    GITEA_FAMILY,
    NOW,
    SECRET,
    SIGNATURE_HEADER,
    SIGNING_SECRET,
    hex_hmac,
    push,
    without,
)

FORM = {"Content-Type": CONTENT_TYPE}
SHAPES = [(provider, False) for provider in Provider] + [(provider, True) for provider in FORM_SENDERS]


def test_githubs_documented_vector() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    body = b"Hello, World!"
    headers = {"X-Hub-Signature-256": signature}
    assert verify(Provider.GITHUB, headers, body, "It's a Secret to Everybody", now=NOW) == body


def test_standard_webhooks_documented_vector() -> None:
    signature = standard_signature(
        SIGNING_SECRET, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, text=b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("provider", "form"), SHAPES)
def test_a_right_signature_gives_the_document(provider: Provider, form: bool) -> None:
    request = push(provider, form=form)
    document = verify(provider, request.headers, request.body, SECRET, now=NOW)
    assert document == push(provider).body
    assert isinstance(json.loads(document), dict)


@pytest.mark.parametrize(("provider", "form"), SHAPES)
def test_case_of_header_names_does_not_matter(provider: Provider, form: bool) -> None:
    request = push(provider, form=form)
    assert verify(provider, {k.upper(): v for k, v in request.headers.items()}, request.body, SECRET, now=NOW)


@pytest.mark.parametrize(("provider", "form"), SHAPES)
def test_everything_else_is_refused_in_the_same_words(provider: Provider, form: bool) -> None:
    request, name = push(provider, form=form), SIGNATURE_HEADER[provider]
    good = request.headers[name]
    texts = set()
    for value in ("", "sha256=", "x", good[:-1], good + "0", "sha1=" + good, good + "é", "\ud800"):
        with pytest.raises(SignatureRefused) as refused:
            verify(provider, request.headers | {name: value}, request.body, SECRET, now=NOW)
        texts.add((str(refused.value), refused.value.code, refused.value.hint, refused.value.kind))
    for headers, body, secret in (
        (without(request.headers, name), request.body, SECRET),
        (request.headers, request.body, ""),
        (request.headers, request.body, "another"),
        ({}, request.body, SECRET),
        (push(provider, form=form, secret="").headers, request.body, ""),
        (push(provider, form=form, secret="").headers, request.body, SECRET),
    ):
        with pytest.raises(SignatureRefused) as refused:
            verify(provider, headers, body, secret, now=NOW)
        texts.add((str(refused.value), refused.value.code, refused.value.hint, refused.value.kind))
    text = str(SignatureRefused())
    assert texts == {(text, "signature-refused", SignatureRefused().hint, "refused")}


@pytest.mark.parametrize(("provider", "form"), [shape for shape in SHAPES if shape[0] is not Provider.GITLAB])
def test_a_changed_body_is_refused(provider: Provider, form: bool) -> None:
    request = push(provider, form=form)
    body = request.body.replace(b"shop", b"shot", 1)
    assert body != request.body
    with pytest.raises(SignatureRefused):
        verify(provider, request.headers, body, SECRET, now=NOW)


def test_sha1_alone_proves_nothing() -> None:
    request = push(Provider.GITHUB)
    headers = without(request.headers, "X-Hub-Signature-256")
    assert headers["X-Hub-Signature"].startswith("sha1=")
    with pytest.raises(SignatureRefused):
        verify(Provider.GITHUB, headers, request.body, SECRET, now=NOW)


def test_github_signs_the_raw_form() -> None:
    body = encode(b'{"a": "\xc3\xa9 +&="}')
    headers = {**FORM, "X-Hub-Signature-256": f"sha256={hex_hmac(SECRET, body)}"}
    assert verify(Provider.GITHUB, headers, body, SECRET, now=NOW) == b'{"a": "\xc3\xa9 +&="}'
    headers["X-Hub-Signature-256"] = "sha256=" + hex_hmac(SECRET, b'{"a": "\xc3\xa9 +&="}')
    with pytest.raises(SignatureRefused):
        verify(Provider.GITHUB, headers, body, SECRET, now=NOW)


@pytest.mark.parametrize("provider", GITEA_FAMILY)
def test_gitea_signs_the_text_inside_the_form(provider: Provider) -> None:
    text = b'{"a": "\xc3\xa9 +&="}'
    headers = {**FORM, SIGNATURE_HEADER[provider]: hex_hmac(SECRET, text)}
    assert verify(provider, headers, encode(text), SECRET, now=NOW) == text
    headers[SIGNATURE_HEADER[provider]] = hex_hmac(SECRET, encode(text))
    with pytest.raises(SignatureRefused):
        verify(provider, headers, encode(text), SECRET, now=NOW)


@pytest.mark.parametrize("provider", GITEA_FAMILY)
def test_a_prefixed_signature_is_not_giteas(provider: Provider) -> None:
    request, name = push(provider), SIGNATURE_HEADER[provider]
    with pytest.raises(SignatureRefused):
        verify(provider, request.headers | {name: "sha256=" + request.headers[name]}, request.body, SECRET, now=NOW)


def test_a_form_without_payload() -> None:
    body = b"other=1&payload2=2"
    signed = {**FORM, "X-Hub-Signature-256": f"sha256={hex_hmac(SECRET, body)}"}
    with pytest.raises(MalformedDelivery, match="payload"):
        verify(Provider.GITHUB, signed, body, SECRET, now=NOW)
    with pytest.raises(SignatureRefused):
        verify(Provider.GITEA, {**FORM, "X-Gitea-Signature": hex_hmac(SECRET, body)}, body, SECRET, now=NOW)


def test_a_charset_beside_the_content_type_is_no_matter() -> None:
    request = push(Provider.GITEA, form=True)
    headers = request.headers | {"Content-Type": f"{CONTENT_TYPE.title()}; charset=UTF-8"}
    assert verify(Provider.GITEA, headers, request.body, SECRET, now=NOW)


@given(st.binary())
def test_a_form_brings_bytes_back_as_they_were(text: bytes) -> None:
    assert decode(encode(text)) == text
    assert decode(b"a=1&" + encode(text) + b"&payload=2") == text


@given(st.sampled_from(Provider), st.dictionaries(st.text(), st.text()), st.binary(), st.text(), st.booleans())
def test_strangers_meet_nothing_but_a_refusal(
    provider: Provider, headers: dict[str, str], body: bytes, secret: str, form: bool
) -> None:
    names = headers | (FORM if form else {}) | {"webhook-signature": "v1,", SIGNATURE_HEADER[provider]: "é"}
    with pytest.raises(SignatureRefused):
        verify(provider, names, body, secret + "!", now=NOW)


class TestSigningScheme:
    """GitLab 19."""

    def test_a_signed_delivery(self) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        assert "X-Gitlab-Token" not in request.headers
        assert verify(Provider.GITLAB, request.headers, request.body, SIGNING_SECRET, now=NOW) == request.body

    def test_the_standard_library_comes_to_the_same_signature(self) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        key = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert request.headers["webhook-signature"] == f"v1,{digest}"

    @pytest.mark.parametrize(("late", "accepted"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
    def test_the_window(self, late: int, accepted: bool) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        if accepted:
            assert verify(Provider.GITLAB, request.headers, request.body, SIGNING_SECRET, now=NOW + late)
        else:
            with pytest.raises(SignatureRefused):
                verify(Provider.GITLAB, request.headers, request.body, SIGNING_SECRET, now=NOW + late)

    def test_the_token_does_not_save_a_wrong_signature(self) -> None:
        request = push(Provider.GITLAB)
        assert "webhook-id" in request.headers
        for signature in ("", "v1,", "v1,AAAA"):
            with pytest.raises(SignatureRefused):
                verify(
                    Provider.GITLAB, request.headers | {"webhook-signature": signature}, request.body, SECRET, now=NOW
                )

    def test_one_of_several_signatures_is_enough(self) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        both = f"v1,AAAA v2,x {request.headers['webhook-signature']}"
        assert verify(
            Provider.GITLAB, request.headers | {"webhook-signature": both}, request.body, SIGNING_SECRET, now=NOW
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("webhook-id", "other"),
            ("webhook-id", ""),
            ("webhook-timestamp", ""),
            ("webhook-timestamp", str(int(NOW) + 1)),
            ("webhook-timestamp", "nan"),
            ("webhook-timestamp", f"{int(NOW)}.0"),
            ("webhook-timestamp", "9" * 11),
            ("webhook-timestamp", "9" * 5000),
            ("webhook-timestamp", "²"),
            ("webhook-signature", "é"),
            ("webhook-signature", "v1,\ud800"),
        ],
    )
    def test_what_is_signed_cannot_change(self, name: str, value: str) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        with pytest.raises(SignatureRefused):
            verify(Provider.GITLAB, request.headers | {name: value}, request.body, SIGNING_SECRET, now=NOW)

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!!", "whsec_é", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain"])
    def test_a_secret_that_is_no_signing_secret(self, secret: str) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        # What an empty key would sign.
        empty = hmac.new(b"", b"", hashlib.sha256)
        empty.update(f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body)
        forged = f"v1,{base64.b64encode(empty.digest()).decode()} {request.headers['webhook-signature']}"
        with pytest.raises(SignatureRefused):
            verify(Provider.GITLAB, request.headers | {"webhook-signature": forged}, request.body, secret, now=NOW)

    def test_a_body_that_is_no_text(self) -> None:
        request = push(Provider.GITLAB, signing=True, secret=SIGNING_SECRET)
        with pytest.raises(SignatureRefused):
            verify(Provider.GITLAB, request.headers, b"\xff", SIGNING_SECRET, now=NOW)

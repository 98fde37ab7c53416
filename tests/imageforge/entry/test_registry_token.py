"""What a token reaches in the registry, and that the registry's side of it can be checked."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from cryptography import x509

from imageforge.entry.registry_token import Signer, granted
from imageforge.store import Scope, Token


def token(scope: Scope, app: str | None) -> Token:
    return Token(
        id="1", name="t", scope=scope, app=app, created_at=0, expires_at=None, last_used_at=None, revoked_at=None
    )


@pytest.mark.parametrize(
    ("scope", "app", "asked", "actions"),
    [
        (Scope.BUILD, "shop", "repository:shop:pull", [["pull"]]),
        (Scope.DEPLOY, "shop", "repository:shop:push,pull", [["pull", "push"]]),
        (Scope.DEPLOY, "shop", "repository:shop:pull,push,delete,*", [["pull", "push"]]),
        (Scope.DEPLOY, "shop", "repository:other:pull", []),
        (Scope.DEPLOY, "shop", "repository:shop/more:pull", []),
        (Scope.ADMIN, "shop", "repository:other:pull", []),
        (Scope.ADMIN, "shop", "repository:shop:delete", []),
        (Scope.BUILD, None, "repository:a/b:pull", [["pull"]]),
        (Scope.ADMIN, None, "repository:any:delete,pull", [["delete", "pull"]]),
        (Scope.ADMIN, None, "registry:catalog:*", [["*"]]),
        (Scope.DEPLOY, None, "registry:catalog:*", []),
        (Scope.DEPLOY, "shop", "repository:shop:pull repository:other:pull", [["pull"]]),
        (Scope.ADMIN, None, "", []),
        (Scope.ADMIN, None, "repository", []),
        (Scope.ADMIN, None, "repository::pull", []),
        (Scope.ADMIN, None, "repository:a:", []),
    ],
)
def test_no_more_is_allowed_than_the_token_reaches(
    scope: Scope, app: str | None, asked: str, actions: list[list[str]]
) -> None:
    assert [access["actions"] for access in granted(token(scope, app), [asked])] == actions


def test_a_token_is_signed_by_the_key_in_the_certificate(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    public = x509.load_pem_x509_certificate(signer.publish().read_bytes()).public_key()
    access = [{"type": "repository", "name": "shop", "actions": ["pull"]}]
    text = Signer(tmp_path).sign(subject="1", audience="forge.example.org", access=access, now=4e9)
    head = jwt.get_unverified_header(text)
    assert head["alg"] == "ES256"
    assert [len(part) for part in head["kid"].split(":")] == [4] * 12
    found = jwt.decode(
        text,
        public,  # type: ignore[arg-type]
        algorithms=["ES256"],
        audience="forge.example.org",
        issuer="imageforge",
        options={"verify_iat": False, "verify_nbf": False},
    )
    assert found["access"] == access
    assert found["exp"] - found["iat"] == 300
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600

"""An ACME authority (RFC 8555), by Certbot's client library; the only module that imports it.

What must outlive a crash is on disk before it is used: the account's key before the account is made, a certificate's
key and its order's address before the order is finished, so that a certificate that was issued is fetched, not asked
for a second time.
"""

from __future__ import annotations

import datetime
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from imageforge import __version__
from imageforge.config.domain import file_stem
from imageforge.entry.secret_file import make_once, replace

ANSWER_SECONDS = 30
ORDER_SECONDS = 90
"""How long an order may take; an authority asks from several places, and for its own reasons several times."""

NONCES = 5
"""How often a request is sent again for its nonce alone, twice each time."""


class NotIssued(Exception):
    """Why there is no certificate, in words for its user."""


class Challenges:
    """The answers that are expected of us at this moment, by token. Every thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, str] = {}

    def answer(self, token: str) -> str | None:
        """The key authorization for a token; None for one that we did not ask for."""
        with self._lock:
            return self._answers.get(token)

    def expect(self, token: str, answer: str) -> None:
        """Answer so from now on."""
        with self._lock:
            self._answers[token] = answer

    def forget(self, token: str) -> None:
        """Answer no longer."""
        with self._lock:
            self._answers.pop(token, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Where and as whom to ask. `contact` is an e-mail address or empty; `ca_file` signs a private directory's own
    certificate, or is empty."""

    directory: str
    contact: str
    ca_file: str
    folder: Path


class Authority:
    """One account. Not thread-safe but for the challenges. Every method raises NotIssued."""

    def __init__(self, account: Account, expected: Challenges) -> None:
        self._account = account
        self._expected = expected
        self._client: client.ClientV2 | None = None
        self._key: JWKEC | None = None

    def issue(self, name: str) -> bytes:
        """A certificate for a name: its key, itself and its chain as PEM. It may take as long as the order may."""
        order_file = self._order_file(name)
        try:
            acme = self._connected()
            pem = self._resumed(acme, order_file) or self._ordered(acme, name, order_file)
        except (
            errors.Error,
            messages.Error,
            JoseError,
            requests.RequestException,
            OSError,
            ValueError,
        ) as error:
            # An account that the directory does not know, or no longer, is made anew with the next try.
            self._client = None
            raise NotIssued(_reason(error)) from error
        return pem

    def finished(self, name: str) -> None:
        """The certificate is kept; its order needs not be remembered any more."""
        self._order_file(name).unlink(missing_ok=True)

    def _order_file(self, name: str) -> Path:
        return self._account.folder / "orders" / f"{file_stem(name)}.json"

    def _connected(self) -> client.ClientV2:
        if self._client is None:
            key = JWKEC(key=load_pem_private_key(make_once(self._account.folder / "account.key", _new_key), None))
            network = _Network(
                key,
                alg=ES256,
                user_agent=f"imageforge/{__version__}",
                timeout=ANSWER_SECONDS,
            )
            if self._account.ca_file:
                # Declared as a flag, and handed on as it stands to requests, which takes a file too.
                network.verify_ssl = self._account.ca_file  # type: ignore[assignment]
            connected = client.ClientV2(client.ClientV2.get_directory(self._account.directory, network), network)
            self._register(connected)
            self._key, self._client = key, connected
        return self._client

    def _register(self, connected: client.ClientV2) -> None:
        wanted = messages.NewRegistration.from_data(email=self._account.contact or None, terms_of_service_agreed=True)
        try:
            connected.new_account(wanted)
        except errors.ConflictError as known:
            there = messages.RegistrationResource(uri=known.location, body=messages.Registration())
            connected.net.account = connected.query_registration(there)

    def _ordered(self, acme: client.ClientV2, name: str, order_file: Path) -> bytes:
        key = _new_key()
        order = acme.new_order(crypto_util.make_csr(key, [name]))
        until = _until(ORDER_SECONDS)
        expected: list[str] = []
        try:
            for authorization in order.authorizations:
                if authorization.body.status == messages.STATUS_VALID:
                    continue
                offered = next(
                    (c for c in authorization.body.challenges if isinstance(c.chall, challenges.HTTP01)), None
                )
                if offered is None:
                    raise NotIssued("the authority does not offer to check it by HTTP-01")
                response, answer = offered.response_and_validation(self._key)
                expected.append(offered.chall.encode("token"))
                self._expected.expect(expected[-1], answer)
                acme.answer_challenge(offered, response)
            order = acme.poll_authorizations(order, until)
            replace(order_file, json.dumps({"order": order.uri, "key": key.decode()}).encode())
            return _bundle(key, acme.finalize_order(order, until).fullchain_pem)
        finally:
            for token in expected:
                self._expected.forget(token)

    def _resumed(self, acme: client.ClientV2, order_file: Path) -> bytes | None:
        """What an order came to that was finished, or nearly, when we were killed."""
        try:
            raw = json.loads(order_file.read_text())
            key, uri = str(raw["key"]).encode(), str(raw["order"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        left = messages.OrderResource(uri=uri, body=messages.Order(), authorizations=[])
        try:
            pem = _bundle(key, acme.poll_finalization(left, _until(5)).fullchain_pem)
        except requests.RequestException:
            raise  # the authority is away; what it issued is there when it is back
        except Exception as error:
            order_file.unlink(missing_ok=True)  # there is nothing to be had of it, and the next try begins anew
            if isinstance(error, errors.Error | messages.Error):
                return None
            raise
        return pem


class _Network(client.ClientNetwork):
    """The library's, which tries once more with another nonce; an authority may refuse that one too (RFC 8555, 6.5)."""

    def post(self, *arguments: Any, **options: Any) -> requests.Response:
        """One request."""
        for _ in range(NONCES - 1):
            try:
                return super().post(*arguments, **options)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*arguments, **options)


def _until(seconds: float) -> datetime.datetime:
    # The library compares it with its own naive local time.
    return datetime.datetime.now() + datetime.timedelta(seconds=seconds)


def _bundle(key: bytes, chain: str) -> bytes:
    return key.strip() + b"\n" + chain.strip().encode() + b"\n"


def _new_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _reason(error: Exception) -> str:
    if isinstance(error, errors.ValidationError):
        told = [
            f"{offered.error.detail or offered.error.typ}"
            for authorization in error.failed_authzrs
            for offered in authorization.body.challenges
            if offered.error is not None
        ]
        return f"the authority could not check the name: {'; '.join(told) or 'it does not say why'}"
    if isinstance(error, messages.Error):
        return f"the authority refused: {error.detail or error.typ}"
    if isinstance(error, errors.TimeoutError):
        return f"the authority did not come to an end within {ORDER_SECONDS} s"
    if isinstance(error, requests.RequestException):
        return f"the authority does not answer: {type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}"

"""What Ingresses need beside their routes: certificates out of Secrets, and a word where one is not served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from runtime.errors import KeyFailure
from runtime.events import Recorder
from runtime.manifest.model import Service
from runtime.manifest.routing import Ingress
from runtime.routes import unmet

log = logging.getLogger(__name__)

CERTIFICATE, KEY = "tls.crt", "tls.key"
NO_TLS = "its certificates are not served: there is no entry by TLS without public_address in settings.toml"

Lookup = Callable[[str, str], Mapping[str, bytes] | None]


class Entrances:
    """The Ingresses, as the balancer and their owner see them. The controller's loop calls it."""

    def __init__(self, ingresses: Callable[[], Sequence[Ingress]], secret: Lookup, events: Recorder) -> None:
        self._ingresses = ingresses
        self._secret = secret
        self._events = events
        self._said: dict[tuple[str, str], frozenset[str]] = {}

    def certificates(self) -> dict[str, bytes]:
        """Those of the Ingresses' Secrets, chain and key as one text, by the Secret's name. One that cannot be read is
        left out; what it held before serves on for a while."""
        found: dict[str, bytes] = {}
        for ingress in self._ingresses():
            for tls in ingress.tls:
                pem = self._pem(ingress.namespace, tls.secret)
                if pem:
                    found[certificate_name(ingress.namespace, tls.secret)] = pem
        return found

    def report(self, services: Sequence[Service], problem_of: Callable[[str], str], *, by_tls: bool) -> None:
        """Say once of each Ingress what of it is not served."""
        ingresses = self._ingresses()
        for ingress in ingresses:
            key = (ingress.namespace, ingress.name)
            problems = frozenset(self._problems(ingress, services, problem_of, by_tls=by_tls))
            for message in sorted(problems - self._said.get(key, frozenset())):
                self._events.say("Ingress", *key, "NotServed", message, warning=True)
            self._said[key] = problems
        there = {(ingress.namespace, ingress.name) for ingress in ingresses}
        self._said = {key: said for key, said in self._said.items() if key in there}

    def _problems(
        self, ingress: Ingress, services: Sequence[Service], problem_of: Callable[[str], str], *, by_tls: bool
    ) -> list[str]:
        problems = [f"some of its requests lead nowhere: {reason}" for reason in unmet(ingress, services)]
        if ingress.tls and not by_tls:
            return [*problems, NO_TLS]
        for tls in ingress.tls:
            where = f"Secret {ingress.namespace}/{tls.secret}"
            if self._pem(ingress.namespace, tls.secret) is None:
                problems.append(f"{where} is not there, or without {CERTIFICATE} and {KEY}")
            elif problem := problem_of(certificate_name(ingress.namespace, tls.secret)):
                problems.append(f"the certificate of {where} is not served: {problem}")
        return problems

    def _pem(self, namespace: str, name: str) -> bytes | None:
        try:
            data = self._secret(namespace, name) or {}
        except KeyFailure as error:
            log.warning("certificate not read", extra={"secret": name, "error": str(error)})
            return None
        if CERTIFICATE not in data or KEY not in data:
            return None
        return data[CERTIFICATE].strip() + b"\n" + data[KEY].strip() + b"\n"


def certificate_name(namespace: str, secret: str) -> str:
    """By which the balancer knows it."""
    return f"{namespace}/{secret}"

"""The variables of a container: ``envFrom``, then ``env``, and ``$(VAR)`` in env, command and args.

After the kubelet's makeEnvironmentVariables (kubernetes/pkg/kubelet/kubelet_pods.go), in its order and its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runtime.errors import ConfigError
from runtime.manifest.model import ContainerSpec, SecretKey
from runtime.manifest.schema import ENV_NAME
from runtime.secret import Lookup, not_there


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Variables by name; `secret` are the names of those that hold something of a Secret."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: frozenset[str] = frozenset()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each ``$(NAME)`` of a known name replaced; an unknown one stays as written.

    ``$$`` is a literal ``$`` (so ``$$(NAME)`` gives ``$(NAME)``), a lone ``$`` and an unclosed ``$(`` stay.
    """
    return "".join(variables.get(part, f"$({part})") if named else part for named, part in _parts(text))


def names_in(text: str) -> frozenset[str]:
    """The names that `expand` looks up."""
    return frozenset(part for named, part in _parts(text) if named)


def environment(
    spec: ContainerSpec, namespace: str, lookup: Lookup, links: Mapping[str, str] | None = None
) -> Environment:
    """The variables: those of ``envFrom``, then of ``env``, each expanded with those before it; of two with one name
    the later wins. `links`, which tell of Services, come last and override none, but can be expanded everywhere. Keys
    that are no names of variables are left out. Raises ConfigError (`secret-not-found`, `secret-key-not-found`,
    `secret-not-text`)."""
    variables: dict[str, str] = {}
    secret: set[str] = set()
    for source in spec.env_from:
        data = lookup(source.name)
        if data is None and not source.optional:
            raise not_there(namespace, source.name)
        for key, value in (data or {}).items():
            name = source.prefix + key
            if ENV_NAME.fullmatch(name):
                variables[name] = _text(value, namespace, source.name, key)
                secret.add(name)
    for name, said in spec.env:
        if isinstance(said, SecretKey):
            chosen = _value(said, namespace, lookup)
            if chosen is not None:
                variables[name] = chosen
                secret.add(name)
            continue
        holds_secret = not secret.isdisjoint(names_in(said))
        variables[name] = expand(said, {**(links or {}), **variables})
        secret = secret | {name} if holds_secret else secret - {name}
    return Environment(variables={**(links or {}), **variables}, secret=frozenset(secret))


def words(said: tuple[str, ...] | None, env: Environment, field: str) -> tuple[str, ...] | None:
    """A command or arguments, expanded. Raises ConfigError (`secret-in-arguments`): every user of the machine can read
    the arguments of a process."""
    for word in said or ():
        named = sorted(names_in(word) & env.secret)
        if named:
            raise ConfigError(
                "secret-in-arguments",
                field,
                f"$({named[0]}) holds a secret, and arguments can be read by every user of the machine",
                hint=f"let the program read {named[0]} from its environment",
            )
    return None if said is None else tuple(expand(word, env.variables) for word in said)


def _value(said: SecretKey, namespace: str, lookup: Lookup) -> str | None:
    data = lookup(said.name)
    if data is None:
        if said.optional:
            return None
        raise not_there(namespace, said.name)
    if said.key not in data:
        if said.optional:
            return None
        raise ConfigError(
            "secret-key-not-found",
            f"Secret {namespace}/{said.name}",
            f"couldn't find key {said.key} in Secret {namespace}/{said.name}",
            hint="apply the Secret with that key; the replica then starts by itself",
        )
    return _text(data[said.key], namespace, said.name, said.key)


def _text(value: bytes, namespace: str, name: str, key: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"  # without the cause: it would hold the value
    if "\0" in text:
        raise ConfigError(
            "secret-not-text",
            f"Secret {namespace}/{name}",
            f"the value of {key} is not UTF-8 text, which a variable must be",
            hint="mount it as a file",
        )
    return text


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """(whether it is a name, the text or name) of the pieces of `text`."""
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            yield False, text[at]
            at += 1
        elif text[at + 1] == "$":
            yield False, "$"
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at + 2)) != -1:
            yield True, text[at + 2 : end]
            at = end + 1
        else:
            yield False, text[at : at + 2]
            at += 2

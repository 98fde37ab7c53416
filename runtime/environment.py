"""The variables of a container: ``envFrom``, then ``env``, and ``$(VAR)`` in env, command and args.

After the kubelet's makeEnvironmentVariables (kubernetes/pkg/kubelet/kubelet_pods.go), in its order and its words.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runtime.env_file import EnvFileError, value_in
from runtime.errors import ConfigError
from runtime.manifest.model import ContainerSpec
from runtime.manifest.resource_field import ResourceField
from runtime.manifest.schema import ENV_NAME
from runtime.manifest.variable import ConfigKey, ConfigVariables, FileKey, PodField, SecretKey, SecretVariables
from runtime.manifest.volume import VolumeMount
from runtime.sources import Sources, not_there


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


def environment(spec: ContainerSpec, sources: Sources, links: Mapping[str, str] | None = None) -> Environment:
    """The variables: those of ``envFrom``, then of ``env``, each expanded with those before it; of two with one name
    the later wins. `links`, which tell of Services, come last and override none, but can be expanded everywhere. Keys
    that are no names of variables are left out. Raises ConfigError (`secret-not-found`, `secret-key-not-found`,
    `secret-not-text`, `config-map-not-found`, `config-map-key-not-found`, `variable-not-text`)."""
    variables: dict[str, str] = {}
    secret: set[str] = set()
    for source in spec.env_from:
        found = {source.prefix + key: value for key, value in _all(source, sources).items()}
        found = {name: value for name, value in found.items() if ENV_NAME.fullmatch(name)}
        variables.update(found)
        secret = secret | found.keys() if isinstance(source, SecretVariables) else secret - found.keys()
    for name, said in spec.env:
        if isinstance(said, str):
            holds_secret = not secret.isdisjoint(names_in(said))
            chosen: str | None = expand(said, {**(links or {}), **variables})
        else:
            holds_secret = isinstance(said, SecretKey)
            chosen = _told(said, spec, sources) if isinstance(said, ResourceField) else _value(said, sources)
        if chosen is not None:
            variables[name] = chosen
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


def sub_path(mount: VolumeMount, env: Environment) -> str:
    """What a mount shows of its volume, expanded, in the kubelet's words. Raises ConfigError (`sub-path-incomplete`,
    `sub-path-refused`): the path must stay in the volume, and would tell a Secret to all who look into it."""
    if not mount.expands:
        return mount.sub_path
    named = names_in(mount.sub_path)
    missing = sorted(name for name in named if not env.variables.get(name))
    if missing:
        raise ConfigError(
            "sub-path-incomplete",
            mount.sub_path,
            f"missing value for {', '.join(missing)}",
            hint="give the container the variable",
        )
    found = expand(mount.sub_path, env.variables)
    # Not the path itself in a message: it may be what it must not tell.
    if named & env.secret:
        raise _refused(mount, "it has something of a secret in it, and whoever sees the volume would see it")
    if found.startswith("/"):
        raise _refused(mount, "it must not be an absolute path")
    if ".." in found.split("/") or "\0" in found:
        raise _refused(mount, "it must not contain '..'")
    return "" if posixpath.normpath(found) == "." else posixpath.normpath(found)


def _refused(mount: VolumeMount, why: str) -> ConfigError:
    return ConfigError("sub-path-refused", mount.sub_path, f"unable to provision SubPath: {why}")


def _all(source: SecretVariables | ConfigVariables, sources: Sources) -> dict[str, str]:
    """What ``envFrom`` takes of one object: of a ConfigMap the texts alone."""
    if isinstance(source, ConfigVariables):
        config = sources.config_map(source.config_map)
        if config is None and not source.optional:
            raise not_there("ConfigMap", sources.namespace, source.config_map)
        texts = {} if config is None else config.data
        return {key: _without_nul(text, "ConfigMap", sources, source.config_map, key) for key, text in texts.items()}
    data = sources.secret(source.name)
    if data is None and not source.optional:
        raise not_there("Secret", sources.namespace, source.name)
    # Only what becomes a variable must be text.
    names = [key for key in data or {} if ENV_NAME.fullmatch(source.prefix + key)]
    return {key: _text((data or {})[key], sources, source.name, key) for key in names}


def _told(said: ResourceField, spec: ContainerSpec, sources: Sources) -> str:
    assert sources.amount is not None, "whoever makes a container tells of what it may take"
    return sources.amount(said, spec.resources)


def _in_file(said: FileKey, sources: Sources) -> str | None:
    """In the kubelet's words; a file that is not there has no variables."""
    assert sources.file is not None, "whoever makes a container tells what others of its pod wrote"
    content = sources.file(said.volume, said.file)
    try:
        text = (content or b"").decode()
        found = value_in(text, said.key)
    except ValueError as error:
        # Neither a line nor a byte of it: it may hold a password.
        why = str(error) if isinstance(error, EnvFileError) else "it is not UTF-8 text"
        raise _wrong_file(said, f"couldn't parse env file {said.file}: {why}") from None
    if found is None and not said.optional:
        raise _wrong_file(said, f'environment variable key "{said.key}" not found in file "{said.file}"')
    if found is not None and "\0" in found:
        raise _wrong_file(said, f"couldn't parse env file {said.file}: it has a byte 0")
    return found


def _wrong_file(said: FileKey, why: str) -> ConfigError:
    hint = "look at what the container before it wrote; the replica then starts by itself"
    return ConfigError("file-not-read", f'volume "{said.volume}"', why, hint=hint)


def _value(said: SecretKey | ConfigKey | PodField | FileKey, sources: Sources) -> str | None:
    """None for what is not there and need not be."""
    if isinstance(said, FileKey):
        return _in_file(said, sources)
    if isinstance(said, PodField):
        assert sources.pod is not None, "whoever makes a container tells of its replica"
        return sources.pod.value(said.path)
    kind, name = ("Secret", said.name) if isinstance(said, SecretKey) else ("ConfigMap", said.config_map)
    data: Mapping[str, str | bytes] | None
    if isinstance(said, SecretKey):
        data = sources.secret(name)
    else:
        config = sources.config_map(name)
        data = None if config is None else config.data
    if data is None:
        if said.optional:
            return None
        raise not_there(kind, sources.namespace, name)
    if said.key not in data:
        if said.optional:
            return None
        raise ConfigError(
            "secret-key-not-found" if kind == "Secret" else "config-map-key-not-found",
            f"{kind} {sources.namespace}/{name}",
            f"couldn't find key {said.key} in {kind} {sources.namespace}/{name}",
            hint=f"apply the {kind} with that key; the replica then starts by itself",
        )
    value = data[said.key]
    if isinstance(value, bytes):
        return _text(value, sources, name, said.key)
    return _without_nul(value, kind, sources, name, said.key)


def _text(value: bytes, sources: Sources, name: str, key: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"  # without the cause: it would hold the value
    return _without_nul(text, "Secret", sources, name, key)


def _without_nul(text: str, kind: str, sources: Sources, name: str, key: str) -> str:
    if "\0" in text:
        raise ConfigError(
            "secret-not-text" if kind == "Secret" else "variable-not-text",
            f"{kind} {sources.namespace}/{name}",
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

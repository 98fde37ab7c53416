"""The language in which a kind's fields are written down, apart from the kinds themselves.

A schema is a tree of shapes. `Object.known` names fields that Kubernetes has and this runtime has not: they are refused
as unsupported, by name, while a name that neither knows is a spelling mistake or stands in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
APP_PROTOCOL = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
IMAGE = re.compile(r"\S+")
HTTP_PATH = re.compile(r"[\x21-\x7e]*")
PERCENT = re.compile(r"[0-9]+%")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
JOB_NAME = re.compile(r"(?=.{1,63}$)" + SUBDOMAIN.pattern)
CRON_JOB_NAME = re.compile(r"(?=.{1,52}$)" + SUBDOMAIN.pattern)
SECRET_KEY = re.compile(r"(?!\.\.?$)(?!\.\.)[-._a-zA-Z0-9]{1,253}")
MOUNT_PATH = re.compile(r"/+[^/:\x00][^:\x00]*")
WORKING_DIR = re.compile(r"/[^\x00]*")
FILE_PATH = re.compile(r"(?!/)(?!\.\.)(?!.*/\.\.(/|$))[^\x00]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A string; `pattern` must match the whole of it, `says` tells what that asks for. What is `hidden` no error
    shows. The `hint` is for what is unsupported."""

    pattern: re.Pattern[str] | None = None
    says: str = "a string"
    choices: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    hidden: bool = False
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """An integer within bounds, both included."""

    low: int = 0
    high: int = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """A boolean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """A quantity, as text or as a number: ``500m``, ``0.5``, ``128Mi``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeOrText:
    """An integer or a string: a port's number or name, a count or a percentage."""

    whole: Whole
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class TextMap:
    """A mapping of strings to strings, as labels and annotations are."""

    keys: Text
    values: Text = field(default_factory=Text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """A list; `unique` names the field by which two items must differ, `most` the largest count supported."""

    item: Shape
    least: int = 0
    most: int | None = None
    unique: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """A mapping with named fields. `hints` say of known ones what there is instead, where their name alone does not
    tell."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)


Shape = Text | Whole | Flag | Amount | WholeOrText | TextMap | Many | Object


def words(text: str) -> frozenset[str]:
    """The names in a space-separated list."""
    return frozenset(text.split())


def inner(shape: Shape) -> Object | None:
    """The object that a field holds, itself or as a list's item."""
    if isinstance(shape, Many):
        return inner(shape.item)
    return shape if isinstance(shape, Object) else None


NAME = Text(pattern=DNS_LABEL, says="lower-case letters, digits and hyphens, at most 63 characters")
LABELS = TextMap(
    keys=Text(pattern=LABEL_KEY, says="a label key such as app.kubernetes.io/name"),
    values=Text(pattern=LABEL_VALUE, says="a label value: letters, digits, . _ -, at most 63 characters"),
)
SECRET_NAME = Text(pattern=SUBDOMAIN, says="lower-case letters, digits, hyphens and dots, at most 253 characters")
OBJECT_NAME = SECRET_NAME
"""Of most kinds: a Service's, a Namespace's and a container's have no dots."""
SECRET_KEY_NAME = Text(pattern=SECRET_KEY, says="a key of a Secret: letters, digits, . _ -, at most 253 characters")
CONFIG_NAME = SECRET_NAME
CONFIG_KEY_NAME = Text(pattern=SECRET_KEY, says="a key of a ConfigMap: letters, digits, . _ -, at most 253 characters")
SECRET_VALUES = TextMap(keys=SECRET_KEY_NAME, values=Text(hidden=True))
ANNOTATIONS = TextMap(keys=Text(pattern=LABEL_KEY, says="an annotation key such as imageforge.io/host"))
PORT_NUMBER = Whole(low=1, high=65535)
PORT_WORD = Text(pattern=PORT_NAME, says="a port name: at most 15 lower-case letters, digits and hyphens, one a letter")
PORT = WholeOrText(whole=PORT_NUMBER, text=PORT_WORD)
METADATA_KNOWN = words(
    "creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation managedFields "
    "ownerReferences resourceVersion selfLink uid"
)


def metadata(name: Text | None) -> Object:
    """The shape of ``metadata``; `name` None is a template's, which has none."""
    fields: dict[str, Shape] = {"labels": LABELS, "annotations": ANNOTATIONS}
    if name is None:
        # A cluster takes a name of a template, and names its pods itself.
        return Object(fields={**fields, "name": SECRET_NAME}, known=METADATA_KNOWN | {"namespace"})
    return Object(fields={"name": name, "namespace": NAME, **fields}, required=("name",), known=METADATA_KNOWN)

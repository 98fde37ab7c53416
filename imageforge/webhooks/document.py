"""A delivery's JSON text, read with the type of every field checked."""

from __future__ import annotations

import json
from collections.abc import Mapping

from imageforge.webhooks.delivery import COMMIT
from imageforge.webhooks.errors import MalformedDelivery


class Document:
    """A JSON object. An absent field and null mean the same: Go writes an empty list as null.

    Every reader raises MalformedDelivery (`delivery-malformed`), with the field's path, for a value of another type.
    """

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    def read(cls, text: bytes) -> Document:
        """Parse UTF-8 JSON."""
        try:
            values = json.loads(text.decode())
        except RecursionError as error:
            raise MalformedDelivery("webhook document", "nested too deeply") from error
        except ValueError as error:
            raise MalformedDelivery("webhook document", f"not JSON: {error}") from error
        if not isinstance(values, dict):
            raise MalformedDelivery("webhook document", "not a JSON object")
        return cls(values)

    def text(self, name: str) -> str:
        """A string, "" if absent."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(name, "not a string")
        return _printable(value)

    def commit(self, name: str) -> str:
        """A commit's id, which must be there."""
        value = self.text(name).lower()
        if not COMMIT.fullmatch(value):
            raise self.wrong(name, "not a commit id of 40 or 64 hex digits")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, False if absent."""
        value = self._values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.wrong(name, "not a boolean")
        return value

    def count(self, name: str) -> int | None:
        """An integer, None if absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "not an integer")
        return value

    def child(self, name: str) -> Document | None:
        """An object, None if absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "not an object")
        return Document(value, self._at(name))

    def children(self, name: str) -> tuple[Document, ...]:
        """A list of objects, empty if absent."""
        found = []
        for index, value in enumerate(self._list(name)):
            if not isinstance(value, dict):
                raise self.wrong(f"{name}[{index}]", "not an object")
            found.append(Document(value, self._at(f"{name}[{index}]")))
        return tuple(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty if absent."""
        found = []
        for index, value in enumerate(self._list(name)):
            if not isinstance(value, str):
                raise self.wrong(f"{name}[{index}]", "not a string")
            found.append(_printable(value))
        return tuple(found)

    def wrong(self, name: str, message: str) -> MalformedDelivery:
        """The error for a field."""
        return MalformedDelivery(f"webhook field {self._at(name)}", message)

    def _list(self, name: str) -> list[object]:
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "not a list")
        return value

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _printable(value: str) -> str:
    """JSON can spell half a surrogate pair, which no file, terminal or database takes."""
    return value.encode("utf-8", "replace").decode()

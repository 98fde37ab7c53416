"""What may come back from a server in the place of an answer."""

from __future__ import annotations

from imageforge.errors import ForgeError, Kind


class ServerError(ForgeError):
    """What a server answered, or that it did not."""

    def __init__(self, code: str, subject: str, message: str, *, kind: Kind, **more: str | None) -> None:
        super().__init__(code, subject, message, hint=more.get("hint"), kept=more.get("kept"))
        self.kind = kind

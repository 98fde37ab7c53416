"""What can go wrong with a source. Both kinds carry a stable code and, nearly always, a hint.

ForgeError
├── SourceRefused      the address, the archive or the tree breaks a rule, whoever asks and however often
└── SourceFailed       the rule is kept, but the other side, or this machine, did not play along
"""

from __future__ import annotations

from imageforge.errors import ForgeError, Kind


class SourceRefused(ForgeError):
    """A source breaks a rule; to try again makes no sense."""

    kind: Kind = "usage"


class SourceFailed(ForgeError):
    """A source could not be had."""

    kind: Kind = "failed"

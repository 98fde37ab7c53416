"""Why a delivery is turned away.

ForgeError
├── SignatureRefused     nothing proves who sent it
└── MalformedDelivery    it was proved, and cannot be read
"""

from __future__ import annotations

from imageforge.errors import ForgeError, Kind


class SignatureRefused(ForgeError):
    """Nothing proves that the delivery comes from someone who knows the app's secret.

    It takes no arguments: a text that told a missing signature from a wrong one, or a wrong one from an app that does
    not exist, would tell a stranger which apps there are.
    """

    kind: Kind = "refused"

    def __init__(self) -> None:
        super().__init__(
            "signature-refused",
            "webhook",
            "the delivery is not signed with this app's secret",
            hint="set the same secret for the app and at the provider",
        )


class MalformedDelivery(ForgeError):
    """The delivery's signature is right, and its text is not what the provider documents."""

    kind: Kind = "usage"

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(
            "delivery-malformed",
            subject,
            message,
            hint="compare the delivery, as the provider's webhook page shows it, with the provider's documentation",
        )

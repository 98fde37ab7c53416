"""Secrets at rest, sealed with a key that lies in a file of its own; and kept out of logs. `imageforge.vault.scan`
looks for them in images."""

from imageforge.vault.mask import LineMask, Mask, MaskedLines
from imageforge.vault.vault import Vault

__all__ = ["LineMask", "Mask", "MaskedLines", "Vault"]

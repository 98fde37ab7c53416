"""Secrets at rest, sealed with a key that lies in a file of its own; and kept out of logs and images."""

from imageforge.vault.mask import LineMask, Mask, MaskedLines
from imageforge.vault.scan import Leak, scan_layout
from imageforge.vault.vault import Vault

__all__ = ["Leak", "LineMask", "Mask", "MaskedLines", "Vault", "scan_layout"]

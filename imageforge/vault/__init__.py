"""Secrets at rest: sealed with a key that lies in a file of its own."""

from imageforge.vault.vault import Vault

__all__ = ["Vault"]

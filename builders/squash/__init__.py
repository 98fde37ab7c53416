"""Squashing: layers merged above the base, with a proof that no container can tell."""

from builders.squash.run import squash

__all__ = ["squash"]

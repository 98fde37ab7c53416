"""Squashing: the layers above the base become one, and what a container sees stays the same, proved."""

from builders.squash.run import drop_damaged, squash

__all__ = ["drop_damaged", "squash"]

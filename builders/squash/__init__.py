"""Squashing: the layers above the base become one, and what a container sees stays the same, proved."""

from builders.squash.run import base_layers, drop_damaged, squash

__all__ = ["base_layers", "drop_damaged", "squash"]

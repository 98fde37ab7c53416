"""One file that brings a home back: made while everything runs, restored into an empty home."""

from imageforge.backup.bundle import Bundle
from imageforge.backup.restore import Restored, restore
from imageforge.backup.snapshot import Taken, take

__all__ = ["Bundle", "Restored", "Taken", "restore", "take"]

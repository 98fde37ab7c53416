"""From this machine to a cluster: what of a file means nothing or something else there, and what is needed besides."""

from imageforge.handoff.check import check
from imageforge.handoff.finding import Finding, Level

__all__ = ["Finding", "Level", "check"]

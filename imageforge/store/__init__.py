"""Builds, their events, apps and releases, in SQL. What should be running is the controller's, and not here."""

from imageforge.store.apps import App, Apps
from imageforge.store.builds import Build, Builds, BuildStatus
from imageforge.store.database import Database
from imageforge.store.releases import Release, Releases, ReleaseStatus

__all__ = ["App", "Apps", "Build", "BuildStatus", "Builds", "Database", "Release", "ReleaseStatus", "Releases"]

"""Builds, their events, apps, releases, tokens, deliveries, secrets, in SQL. What should be running is the
controller's, and not here."""

from imageforge.store.answers import Answer, Answers
from imageforge.store.app_config import Environment, Purpose, SealedSecret, SealedSecrets
from imageforge.store.apps import App, Apps, AppSettings
from imageforge.store.audit import Audit, AuditEntry
from imageforge.store.build_queue import Accepted, BuildQueue, DeliveryKey, Submission
from imageforge.store.builds import Build, Builds, BuildStatus
from imageforge.store.database import Database
from imageforge.store.domains import Domain, Domains
from imageforge.store.notices import Draft, Hook, Hooks, Notice, Notices, Waiting
from imageforge.store.releases import Release, Releases, ReleaseStatus
from imageforge.store.tokens import Scope, Token, Tokens

__all__ = [
    "Accepted",
    "Answer",
    "Answers",
    "App",
    "AppSettings",
    "Apps",
    "Audit",
    "AuditEntry",
    "Build",
    "BuildQueue",
    "BuildStatus",
    "Builds",
    "Database",
    "DeliveryKey",
    "Domain",
    "Domains",
    "Draft",
    "Environment",
    "Hook",
    "Hooks",
    "Notice",
    "Notices",
    "Purpose",
    "Release",
    "ReleaseStatus",
    "Releases",
    "Scope",
    "SealedSecret",
    "SealedSecrets",
    "Submission",
    "Token",
    "Tokens",
    "Waiting",
]

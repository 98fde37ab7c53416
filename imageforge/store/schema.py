"""The tables. Times are Unix seconds; documents are JSON; numbers of releases count from 1 for each app."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

VERSION = 1
"""Raised with each change of the tables; a newer one than the program knows is refused, not guessed at."""

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

apps = Table(
    "apps",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("created_at", Float, nullable=False),
    # What `scale` asked for; outlives a push unless the repository's file sets replicas.
    Column("replicas", Integer),
)

builds = Table(
    "builds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("app", String(40), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("reference", Text),
    Column("image_id", Text),
    Column("error", JSON),
    # The process that runs it, so that a build whose process was killed does not run for ever.
    Column("owner", JSON),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("build_id", Integer, ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("app", String(40), ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("build_id", Integer),
    Column("reference", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("manifests", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column("report", JSON),
)

Index("releases_by_time", releases.c.app, releases.c.created_at)

"""The tables. Times are Unix seconds; documents are JSON; numbers of releases count from 1 for each app.

A change here is a file in `migrations/versions` too; a test compares what the migrations make with what stands here.

While a service is upgraded, programs of the version before work on with the changed tables. A change that they could do
harm with writes its own number into `compatibility`, and they refuse the store until they are replaced. Whatever only
adds (a table, an index, a column with a default) leaves that as it is.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

compatibility = Table(
    "compatibility",
    metadata,
    # One row: the oldest step of the migrations whose programs may still work with these tables.
    Column("oldest", String(32), primary_key=True),
)

apps = Table(
    "apps",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("created_at", Float, nullable=False),
    # What `scale` asked for; outlives a push unless the repository's file sets replicas.
    Column("replicas", Integer),
    # The same of the processes beside web, by name.
    Column("scales", JSON, nullable=False, server_default="{}"),
    # The processes beside web that run, or may again: their Deployments' names are no other app's.
    Column("processes", JSON, nullable=False, server_default="[]"),
    # What `apps set` set; absent keys have their defaults.
    Column("settings", JSON, nullable=False, server_default="{}"),
)

builds = Table(
    "builds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("app", String(40), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("reference", Text),
    Column("image_id", Text),
    Column("error", JSON),
    # The process that runs it, so that a build whose process was killed does not run for ever.
    Column("owner", JSON),
    # What the queue needs to carry it out: the source and the options. None for a build of the command line.
    Column("spec", JSON),
    Column("origin", String(16), nullable=False, server_default="cli"),
    Column("actor", Text, nullable=False, server_default=""),
    Column("branch", Text, nullable=False, server_default=""),
    Column("revision", String(64), nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    # Until when the worker that claimed it need not be doubted.
    Column("lease_until", Float),
    Column("cancel_at", Float),
    Column("superseded_by", Integer),
    # Of everything that decides the image; equal fingerprints need one build.
    Column("fingerprint", String(80), index=True),
    Column("reused_from", Integer),
    Column("release", Integer),
    # The status that others were last told of.
    Column("told", String(16)),
    sqlite_autoincrement=True,
)

# Of what is asked under the write lock: which builds of a branch wait, and when an app was last at work.
Index("builds_of_branch", builds.c.app, builds.c.branch, builds.c.status)
Index("builds_by_start", builds.c.app, builds.c.started_at)

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

# The events of a build that has ended, compressed into one value.
event_archives = Table(
    "event_archives",
    metadata,
    Column("build_id", Integer, ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
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
    # The run secrets of then, sealed in one piece: a rollback runs with these.
    Column("secrets", LargeBinary),
)

Index("releases_by_time", releases.c.app, releases.c.created_at)

# Webhook deliveries that were answered: the ids are the only defence against a replay that most providers leave us.
deliveries = Table(
    "deliveries",
    metadata,
    Column("app", String(40), primary_key=True),
    Column("provider", String(16), primary_key=True),
    Column("delivery", String(128), primary_key=True),
    Column("received_at", Float, nullable=False, index=True),
    Column("build_id", Integer),
    Column("reason", String(40), nullable=False),
)

# Answers to creating calls that carried an Idempotency-Key.
answers = Table(
    "answers",
    metadata,
    Column("token", String(16), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(80), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", Float, nullable=False, index=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the secret part; 256 random bits need no slow hash.
    Column("digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("app", String(40)),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
)

# Who did what. Never changed, only added to and cut by age.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", String(40), nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    sqlite_autoincrement=True,
)

# Values are encrypted; which key opens them is known to `vault` alone.
secrets = Table(
    "secrets",
    metadata,
    Column("app", String(40), ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("purpose", String(16), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("updated_at", Float, nullable=False),
    # Where containers have it as a file, below /run/secrets; None: it is a variable, or no container has it.
    Column("path", Text),
)

environment = Table(
    "environment",
    metadata,
    Column("app", String(40), ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
)

# Names of the apps' own. The key is what keeps two apps from one name.
domains = Table(
    "domains",
    metadata,
    Column("name", String(253), primary_key=True),
    Column("app", String(40), ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Float, nullable=False),
)
# Addresses that are told how an app's builds go. Their signing keys are among the secrets.
hooks = Table(
    "hooks",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("app", String(40), ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    # The types of events; an empty list is all.
    Column("events", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    # The address said that it wants no more.
    Column("gone_at", Float),
)

# What is to be told to whom: an outbox, so that a crash or a deaf receiver loses nothing.
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("build_id", Integer, ForeignKey("builds.id", ondelete="CASCADE"), nullable=False),
    Column("app", String(40), nullable=False),
    Column("target", String(40), nullable=False),
    Column("event", String(24), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # When to try (again); NULL once it is done or given up.
    Column("next_at", Float, index=True),
    Column("done_at", Float),
    Column("error", Text),
    sqlite_autoincrement=True,
)

Index("notices_once", notices.c.build_id, notices.c.target, notices.c.event, unique=True)

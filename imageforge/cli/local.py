"""What the commands ask a server, asked of this machine's own home: the same questions, the same answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from imageforge.api.schemas import AppView, BuildView, DomainView, ReleaseView, SecretView, TokenView
from imageforge.cli.state import Workplace
from imageforge.entry.standing import standings
from imageforge.errors import UsageError
from imageforge.pipeline.domains import add_domain, remove_domain
from imageforge.pipeline.secret_change import NewSecret, change_secrets, purpose_of
from imageforge.pipeline.webhook_secret import webhook_secret
from imageforge.queue.intake import Intake, Origin
from imageforge.queue.wake import Waker
from imageforge.stack.process import lives
from imageforge.store import (
    App,
    Apps,
    Builds,
    Database,
    Domain,
    Domains,
    Environment,
    Purpose,
    Releases,
    Scope,
    SealedSecrets,
    Tokens,
)
from imageforge.vault import Vault
from runtime import ControllerClient

FOLLOW_SECONDS = 0.2
ACTOR = "command line"

Row = Mapping[str, Any]


class Local:
    """This home. Methods as those of `imageforge.client.Server`, and the same errors."""

    def __init__(self, here: Workplace, database: Database) -> None:
        self._here = here
        self._database = database
        self._intake = Intake(here.home, here.settings, database, Waker(here.home.redis_socket))

    def apps(self) -> list[Row]:
        """The apps."""
        return [self._app(app) for app in Apps(self._database).all()]

    def create_app(self, name: str, settings: Row) -> Row:
        """Make an app."""
        self._intake.new_app(name)
        return self.configure(name, settings)

    def configure(self, name: str, settings: Row) -> Row:
        """Change an app's settings."""
        return self._app(self._intake.configure(name, settings))

    def environment(self, app: str) -> Mapping[str, str]:
        """An app's variables."""
        self._intake.app(app)
        return Environment(self._database).of(app)

    def set_environment(self, app: str, values: Mapping[str, str | None]) -> int | None:
        """Set variables; the build that makes a release of it, if one is live."""
        found = self._intake.app(app)
        Environment(self._database).change(app, values)
        if Releases(self._database).live(app) is None:
            return None
        self._here.require_running()
        origin = Origin(way="cli", actor=ACTOR)
        return self._intake.rerelease(found, None, origin, note="environment changed").build_id

    def secrets(self, app: str) -> list[Row]:
        """The names of an app's secrets."""
        self._intake.app(app)
        return [view.model_dump() for view in SecretView.listed(SealedSecrets(self._database).all(app))]

    def set_secrets(self, app: str, purpose: str, values: Mapping[str, Row]) -> int | None:
        """Set secrets; the build that makes a release with them, if they are for running and one is live."""
        new = {name: NewSecret(value=row["value"], path=row.get("path")) for name, row in values.items()}
        return self._change_secrets(app, Purpose(purpose), new)

    def remove_secret(self, app: str, name: str, purpose: str | None) -> int | None:
        """Forget a secret; the build as of `set_secrets`."""
        self._intake.app(app)
        return self._change_secrets(app, purpose_of(app, name, purpose, self._database), {name: None})

    def _change_secrets(self, app: str, purpose: Purpose, values: Mapping[str, NewSecret | None]) -> int | None:
        found = self._intake.app(app)
        change_secrets(app, purpose, values, self._database, Vault(self._here.home.key_file))
        if purpose is not Purpose.RUN or Releases(self._database).live(app) is None:
            return None
        self._here.require_running()
        return self._intake.rerelease(found, None, Origin(way="cli", actor=ACTOR), note="secrets changed").build_id

    def domains(self, app: str) -> list[Row]:
        """An app's domains, and how their certificates stand."""
        self._intake.app(app)
        return self._domains(Domains(self._database).of(app))

    def add_domain(self, app: str, domain: str) -> Row:
        """Have a domain lead to an app."""
        self._intake.app(app)
        here = self._here
        found, _ = add_domain(
            app,
            domain,
            home=here.home,
            settings=here.settings,
            database=self._database,
            controller=ControllerClient(here.home.controller_socket),
        )
        return self._domains((found,))[0]

    def remove_domain(self, app: str, domain: str) -> None:
        """Have it lead there no longer."""
        self._intake.app(app)
        here = self._here
        remove_domain(
            app,
            domain,
            home=here.home,
            settings=here.settings,
            database=self._database,
            controller=ControllerClient(here.home.controller_socket),
        )

    def webhook(self, app: str) -> Row:
        """Address and secret for the forge."""
        self._intake.app(app)
        secret = webhook_secret(app, self._database, Vault(self._here.home.key_file), make=True)
        return {"url": f"{self._here.settings.service_url}/v1/webhooks/{app}", "secret": secret}

    def builds(self, app: str | None, limit: int) -> list[Row]:
        """The newest builds."""
        Builds(self._database).settle(lives)
        return [BuildView.of(build).model_dump() for build in Builds(self._database).latest(app=app, limit=limit)]

    def build(self, build: int) -> Row:
        """One build."""
        return BuildView.of(self._intake.build(build)).model_dump()

    def cancel(self, build: int) -> Row:
        """Cancel a build."""
        self._intake.cancel(build)
        return self.build(build)

    def retry(self, build: int) -> int:
        """Build the same once more."""
        return self._intake.retry(build, ACTOR).build_id

    def releases(self, app: str) -> list[Row]:
        """An app's releases."""
        self._intake.app(app)
        return [ReleaseView.of(release).model_dump() for release in Releases(self._database).of(app)]

    def release(self, app: str, number: int) -> Row:
        """One release, with its report."""
        found = Releases(self._database).find(app, number)
        if found is None:
            raise UsageError("no-such-release", app, f"there is no release {number} of it")
        return ReleaseView.of(found, whole=True).model_dump()

    def tokens(self) -> list[Row]:
        """Every token."""
        return [TokenView.of(token).model_dump() for token in Tokens(self._database).all()]

    def create_token(self, name: str, scope: str, app: str | None, days: int | None) -> Row:
        """Make a token; its text is in the answer."""
        expires = time.time() + days * 86400 if days else None
        token, text = Tokens(self._database).create(name, Scope(scope), app=app, expires_at=expires)
        return TokenView.of(token, text).model_dump()

    def revoke_token(self, token: str) -> None:
        """Revoke a token."""
        if not Tokens(self._database).revoke(token):
            raise UsageError("no-such-token", token, "there is no such token", hint="imageforge token ls")

    def events(self, build: int, *, follow: bool = True) -> Iterator[Row]:
        """A build's events as they come, then ``{"kind": "end", "build": …}``."""
        self._intake.build(build)
        builds, after = Builds(self._database), 0
        while True:
            found = builds.find(build)
            for row in builds.events(build, after=after):
                after = row["number"]
                yield row
            if found is None or found.status.ended:
                if found is not None:
                    yield {"kind": "end", "build": BuildView.of(found).model_dump()}
                return
            if not follow:
                return
            time.sleep(FOLLOW_SECONDS)

    def _domains(self, domains: tuple[Domain, ...]) -> list[Row]:
        settings = self._here.settings
        found = standings((domain.name for domain in domains), self._here.home, settings)
        pairs = zip(domains, found, strict=True)
        return [DomainView.of(domain, stands, settings.url(domain.name)).model_dump() for domain, stands in pairs]

    def _app(self, app: App) -> Row:
        settings = self._here.settings
        return AppView.of(app, settings.url(f"{app.name}.{settings.host_suffix}")).model_dump()

"""imageforge manifest: the Kubernetes manifests of an app."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import write
from imageforge.cli.release import require
from imageforge.cli.state import Workplace
from imageforge.pipeline.manifests import join
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.store import Apps, Releases
from imageforge.vault import Vault


def manifest(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the live one if left out.")] = None,
) -> None:
    """Print the manifests that run a release.

    As YAML, which a cluster would take; the values of secrets are masked.
    """
    here = Workplace.here()
    with here.database() as database:
        Apps(database).require(app)
        found = Releases(database).find(app, number) if number else Releases(database).live(app)
    release = require(found, app, number)
    secrets = RunSecrets.of(release, Vault(here.home.key_file))
    if secrets is not None:
        write(
            f"# The values of the Secret {secrets.secret} are masked. A cluster needs them in their places, without the"
        )
        write("# annotation imageforge.io/masked.")
        write(secrets.manifest(masked=True).rstrip("\n"))
    write(join(release.manifests).rstrip("\n"))

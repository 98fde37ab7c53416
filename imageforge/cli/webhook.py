"""imageforge webhook: what to enter at the forge, and a test of it."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import httpx
import typer

from imageforge.cli.backend import backend
from imageforge.cli.output import Format, FormatOption, document, say, show
from imageforge.errors import StackError, UsageError
from imageforge.webhooks import Provider, sample

app = typer.Typer(no_args_is_help=True, help="Webhooks of GitHub, GitLab, Gitea, Forgejo and Gogs.")
TIMEOUT = 30.0


@app.command("show")
def show_webhook(name: Annotated[str, typer.Argument(metavar="APP")], form: FormatOption = Format.TABLE) -> None:
    """Print the address and the secret to enter at the forge. There: content type JSON, the push event only."""
    with backend() as there:
        found = there.webhook(name)
    row = {"url": found["url"], "secret": found["secret"]}
    if form in (Format.JSON, Format.YAML):
        document(row, form)
    else:
        show([row], columns=("url", "secret"), form=form)


@app.command("test")
def try_webhook(
    name: Annotated[str, typer.Argument(metavar="APP")],
    provider: Annotated[Provider, typer.Option("--provider", help="As whom to sign and write it.")] = Provider.GITHUB,
    commit: Annotated[str | None, typer.Option("--commit", help="The commit that is told to have been pushed.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Sign and send a real delivery, and show the answer.

    With --commit it is of a push to the app's branch, and builds that commit. Without, it is of a branch that is not
    deployed: what is tested is that it arrives and that its signature is right, and nothing is built.
    """
    with backend() as there:
        hook = there.webhook(name)
        settings = next((dict(row) for row in there.apps() if row["name"] == name), {})
    url = str(settings.get("git_url") or "")
    if commit and not url:
        raise UsageError(
            "git-url-missing", name, "there is no source to fetch", hint=f"imageforge apps set {name} --git-url URL"
        )
    request = sample(
        provider,
        secret=str(hook["secret"]),
        repository=f"imageforge/{name}",
        clone_url=url or f"https://git.invalid/{name}.git",
        branch=str(settings.get("branch")) if commit else "imageforge-webhook-test",
        before="1" * 40,
        after=commit or "2" * 40,
        delivery_id=secrets.token_hex(16),
        now=time.time(),
    )
    try:
        answer = httpx.post(str(hook["url"]), content=request.body, headers=request.headers, timeout=TIMEOUT)
    except httpx.TransportError as error:
        raise StackError("server-unreachable", str(hook["url"]), str(error), hint="imageforge up") from error
    told = answer.json()
    row = {
        "provider": provider.value,
        "status": answer.status_code,
        "answer": told.get("reason") or told.get("code"),
        "build": told.get("build"),
    }
    show([row], columns=("provider", "status", "answer", "build"), form=form)
    if answer.is_error:
        say(f"refused: {told.get('detail') or told.get('title') or answer.status_code}")
        raise typer.Exit(1)
    if commit is None:
        say(
            "delivered, and its signature is right. Nothing is built, as the delivery tells of a branch that is not "
            f"deployed.\nTo build one: imageforge webhook test {name} --commit SHA"
        )

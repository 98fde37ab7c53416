"""imageforge remote: make a git remote of an app, so that `git push` deploys."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from imageforge.cli.backend import backend
from imageforge.cli.output import say
from imageforge.client import Contexts, GitCredentials
from imageforge.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="The git remote of an app.")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="APP", help="The app, made if need be.")],
    remote: Annotated[str, typer.Option("--remote", help="The remote's name.")] = "forge",
    folder: Annotated[Path, typer.Option("--repository", help="The repository.")] = Path(),
) -> None:
    """Set up `git push forge main` in the repository here.

    That is the remote, and a token as its password. The token is kept by git's own credential store,
    in a file that only you can read.
    """
    with backend() as there:
        known = name in {str(app["name"]) for app in there.apps()}
        there.create_app(name, {})
        context = Contexts.of_user().active()
        if context is not None:
            base, token = context.url, context.token
        else:
            base = str(there.webhook(name)["url"]).partition("/v1/")[0]
            token = str(there.create_token(f"git remote of {name}", "deploy", name, None)["token"])
    store = GitCredentials.of_user().file
    url = f"{base}/git/{name}.git"
    existing = _git(folder, "remote")
    _git(folder, "remote", "set-url" if remote in existing.split() else "add", remote, url)
    _git(folder, "config", "--replace-all", f"credential.{url}.helper", f"store --file={store}")
    _git(folder, "config", "--replace-all", f"credential.{url}.useHttpPath", "true")
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parts = urlsplit(url)
    fields = {
        "protocol": parts.scheme,
        "host": parts.netloc,
        "path": parts.path.lstrip("/"),
        "username": "token",
        "password": token,
    }
    entry = "".join(f"{key}={value}\n" for key, value in fields.items())
    _git(folder, "credential", "approve", stdin=f"{entry}\n")
    if not known:
        say(f"{name} is a new app")
    say(f"git push {remote} main   deploys {name}: {url}")


def _git(folder: Path, *arguments: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise UsageError("git-missing", "git", "not installed", hint="install git") from error
    if done.returncode:
        raise UsageError(
            "git-failed", f"git {arguments[0]}", done.stderr.strip() or "it failed", hint="run it in a git repository"
        )
    return done.stdout

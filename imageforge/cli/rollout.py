"""imageforge rollout: how a Deployment's change goes, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.get import NamespaceOption
from imageforge.cli.kinds import only, parse_target
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, show, write
from imageforge.cli.settle import settle_in

app = typer.Typer(no_args_is_help=True, help="Rollouts of Deployments.")
Word = Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as deployment/web.")]


def _deployment(word: str) -> str:
    return only(parse_target(word), "Deployment").name


@app.command()
def status(
    word: Word,
    namespace: NamespaceOption = "default",
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Wait for its end.")] = True,
) -> None:
    """Show how it goes, until it is done. Exit 1 where it comes no further for longer than its deadline."""
    name = _deployment(word)
    controller = objects()
    if watch:
        settle_in(controller, namespace, name)
        write(f'deployment "{name}" successfully rolled out')
        return
    found = controller.deployment(namespace, name)
    write(found.message or f'deployment "{name}" successfully rolled out')


@app.command()
def history(word: Word, namespace: NamespaceOption = "default", form: FormatOption = Format.TABLE) -> None:
    """List the templates that it has and had."""
    rows = [
        {
            "revision": item.number,
            "current": item.current,
            "replicas": item.replicas,
            "image": item.image,
            "change_cause": item.cause,
            "release": item.release,
            "hash": item.hash,
        }
        for item in objects().revisions(namespace, _deployment(word))
    ]
    show(
        rows, columns=("revision", "current", "replicas", "image", "change_cause"), wide=("release", "hash"), form=form
    )


@app.command()
def undo(
    word: Word,
    to: Annotated[int | None, typer.Option("--to-revision", help="The one before, if left out.")] = None,
    namespace: NamespaceOption = "default",
) -> None:
    """Go back to the template of an earlier revision."""
    done = objects().undo(namespace, _deployment(word), revision=to)
    write(f"deployment/{done.name} {'rolled back' if done.change == 'configured' else 'is that revision already'}")


@app.command()
def pause(word: Word, namespace: NamespaceOption = "default") -> None:
    """Roll nothing of it out any more; it can be scaled."""
    objects().pause(namespace, _deployment(word))
    write(f"deployment/{_deployment(word)} paused")


@app.command()
def resume(word: Word, namespace: NamespaceOption = "default") -> None:
    """Go on with a rollout that was paused."""
    objects().resume(namespace, _deployment(word))
    write(f"deployment/{_deployment(word)} resumed")


@app.command()
def restart(word: Word, namespace: NamespaceOption = "default") -> None:
    """Replace every replica by a new one of the same template."""
    objects().restart(namespace, _deployment(word))
    write(f"deployment/{_deployment(word)} restarted")

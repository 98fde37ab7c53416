"""imageforge domains: names of an app's own."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.confirm import confirm
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.config.domain import parse_domain
from imageforge.errors import UsageError
from imageforge.report.units import age

app = typer.Typer(no_args_is_help=True, help="Domains of an app. They stay over deploys and rollbacks.")
AppArgument = Annotated[str, typer.Argument(metavar="APP")]
DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as www.example.org.")]


@app.command("ls")
def list_domains(name: AppArgument, form: FormatOption = Format.TABLE) -> None:
    """List them, and how their certificates stand."""
    with backend() as there:
        rows = [{**row, "valid_for": _left(row["until"])} for row in there.domains(name)]
    columns = ("domain", "url", "certificate", "valid_for", "problem")
    show(rows, columns=columns, form=form, empty=f"{name} has no domains")


@app.command("add")
def add_domain(name: AppArgument, domain: DomainArgument) -> None:
    """Have a domain lead to an app, at once. Its DNS record is yours to set."""
    with backend() as there:
        added = there.add_domain(name, domain)
    say(f"{added['url']} is {name}'s" + (f"; {added['problem']}" if added["problem"] else ""))


@app.command("rm")
def remove_domain(
    name: AppArgument,
    domain: DomainArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Have it lead there no longer."""
    with backend() as there:
        names = [str(row["domain"]) for row in there.domains(name)]
        with contextlib.suppress(ValueError):  # what was stored once can be removed, though it would not be taken today
            domain = parse_domain(domain)
        if domain not in names:
            raise UsageError(
                "no-such-domain",
                domain[:100],
                f"{name} has no domain of this name",
                hint=f"its domains: {', '.join(names)}" if names else f"imageforge domains ls {name}",
            )
        confirm(f"stop serving {domain} by {name}", yes=yes)
        there.remove_domain(name, domain)
    say(f"{domain} removed from {name}")


def _left(until: float | None) -> str | None:
    return None if until is None else age(until - time.time())

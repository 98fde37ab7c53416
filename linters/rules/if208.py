"""IF208: the container starts a server that is made for developing."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any

from linters.dockerfile import Span
from linters.model import Basis, Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.shell import commands

_ALWAYS = frozenset(
    {"nodemon", "webpack-dev-server", "react-scripts", "ts-node-dev", "live-server", "watchexec", "air"}
)
_WITH = {
    "react-scripts": frozenset({"start"}),
    "next": frozenset({"dev"}),
    "nuxt": frozenset({"dev"}),
    "nuxi": frozenset({"dev"}),
    "astro": frozenset({"dev"}),
    "gatsby": frozenset({"develop"}),
    "ng": frozenset({"serve", "s"}),
    "vue-cli-service": frozenset({"serve"}),
    "webpack": frozenset({"serve"}),
    "vite": frozenset({"", "dev", "serve"}),
    "tsx": frozenset({"watch"}),
    "cargo": frozenset({"watch"}),
    "dotnet": frozenset({"watch"}),
}
_RELOADING = frozenset({"uvicorn", "gunicorn", "hypercorn", "flask", "sanic", "granian"})
_SCRIPTED = frozenset({"npm", "yarn", "pnpm", "bun"})
_DEV_SCRIPT = re.compile(r"(?:^|:)(?:dev|develop|development|watch|serve:dev|start:dev)(?:$|:)")
_WORKSHOP = re.compile(r"(?:^|[-_.])(?:dev|devel|develop|development|devcontainer|local|debug|test)(?:$|[-_.])")
_LARGEST_PACKAGE = 256 * 1024
_FIX = "build the program, and start the server that is made for production"


def dev_servers(subject: Subject) -> Iterator[Hit]:
    """The server for developing that the target starts, or nothing."""
    # Who names the target after its purpose knows what it starts.
    severity = Severity.INFO if _WORKSHOP.search(subject.plan.target.name or "") else None
    for where, argv in _started(subject):
        what = dev_server(argv)
        basis = Basis.FILE
        if what is None:
            script = _of_package(subject, argv)
            inner = [one for command in commands(script or "") if (one := dev_server(unwrap(command.argv)))]
            what, basis = (f"{script}, by `{' '.join(argv[:3])}`", Basis.CONTEXT) if inner else (None, basis)
        if what is not None:
            yield Hit(
                span=where,
                message=f"the container starts a server for developing: {what}",
                fix=_FIX,
                severity=severity,
                basis=basis,
            )
            return


def _started(subject: Subject) -> Iterator[tuple[Span, tuple[str, ...]]]:
    entry = subject.entry
    argv = entry.argv
    if argv:
        inner = unwrap(argv)
        if inner:
            step, index = entry.origin(len(argv) - len(inner))
            word = step.instruction.words[index]
            yield step.instruction.span(word.start, word.end), inner
    for script in entry.scripts:
        for command in script.commands:
            inner = unwrap(command.argv)
            if inner:
                yield script.span_of(command), inner


def dev_server(argv: Sequence[str]) -> str | None:
    """What a command line starts of the kind, in its own words; None where it starts nothing of it."""
    words = list(argv)
    if words and name_of(words[0]) in ("npx", "yarn", "pnpm", "bunx") and len(words) > 1:
        words = words[1:] if name_of(words[0]) in ("npx", "bunx") or words[1] in _WITH or words[1] in _ALWAYS else words
    if len(words) > 2 and name_of(words[0]).startswith("python") and words[1] == "-m":
        words = words[2:]
    if not words:
        return None
    program, rest = name_of(words[0]), words[1:]
    said = " ".join([program, *rest][:3])
    plain = [word for word in rest if not word.startswith("-")]
    if program in _WITH or program in _ALWAYS:
        if (plain[0] if plain else "") not in _WITH.get(program, plain[:1] or [""]):
            return None
        return " ".join([program, *plain[:1]])
    if program in _RELOADING and "--reload" in rest:
        return f"{program} --reload"
    if program in _SCRIPTED:
        script = _script_name(program, plain)
        return said if script and _DEV_SCRIPT.search(script) else None
    return _of_language(program, rest, said)


def _of_language(program: str, rest: list[str], said: str) -> str | None:
    if program == "flask" and "--debug" in rest:
        return "flask --debug"
    if program == "node" and ("--watch" in rest or any(name_of(word) == "nodemon" for word in rest[:1])):
        return said
    if program == "php" and ("-S" in rest or rest[:2] == ["artisan", "serve"]):
        return said
    if any(name_of(word) == "manage.py" for word in [program, *rest[:1]]) and "runserver" in rest:
        return "manage.py runserver"
    return None


def _script_name(program: str, plain: list[str]) -> str | None:
    """The script of package.json that npm, yarn, pnpm or bun is told to run."""
    if plain[:1] in (["run"], ["run-script"]):
        return plain[1] if len(plain) > 1 else None
    if plain[:1] in (["start"], ["test"]):
        return plain[0]
    return plain[0] if plain and program in ("yarn", "pnpm") else None


def _of_package(subject: Subject, argv: Sequence[str]) -> str | None:
    """What package.json of the context says for the script that is run."""
    program = name_of(argv[0])
    if program not in _SCRIPTED:
        return None
    script = _script_name(program, [word for word in argv[1:] if not word.startswith("-")])
    step = subject.entry.main or subject.entry.command
    package = package_in(subject, step.workdir) if script is not None and step is not None else None
    scripts = package.get("scripts") if package else None
    found = scripts.get(script) if isinstance(scripts, dict) else None
    return found if isinstance(found, str) else None


def package_in(subject: Subject, folder: str) -> dict[str, Any] | None:
    """The package.json that is copied from the context into a folder of the image; None where that cannot be told."""
    if subject.context is None or not folder.startswith("/"):
        return None
    wanted = posixpath.normpath(posixpath.join(folder, "package.json"))
    for copy in reversed(subject.copies):
        for source in copy.sources_of(wanted) if copy.from_context else ():
            text = subject.context.read(source, _LARGEST_PACKAGE)
            if text is not None:
                return _parsed(text)
    return None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        package = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return package if isinstance(package, dict) else None


RULE = Rule(
    id="IF208",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="A container starts a production server",
    check=dev_servers,
)

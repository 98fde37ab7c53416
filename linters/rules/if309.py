"""IF309: what only developers need is installed with the program."""

from __future__ import annotations

from collections.abc import Iterator

from linters import edits
from linters.model import Edit, Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.rules.if208 import dev_servers, package_in
from linters.scripts import Script
from linters.shell import Command

# Program: the words that install a project's own packages, what leaves the developers' out, the flag to write.
_INSTALLS = {
    "npm": (
        ("ci", "install", "i"),
        ("--omit=dev", "--omit", "--only=prod", "--only=production", "--production", "--only"),
        "--omit=dev",
    ),
    "yarn": (("install", ""), ("--production", "--production=true", "--prod"), "--production"),
    "pnpm": (("install", "i"), ("--prod", "-P", "--production"), "--prod"),
    "composer": (("install",), ("--no-dev",), "--no-dev"),
    "poetry": (
        ("install",),
        ("--no-dev", "--only", "--only=main", "--without", "--without=dev", "--only-root"),
        "--only main",
    ),
    "uv": (("sync",), ("--no-dev", "--no-default-groups", "--only-group", "--no-group"), "--no-dev"),
    "bundle": (("install", ""), ("--without", "--deployment"), ""),
}
_SWITCHES = {
    "npm": ("NODE_ENV", "NPM_CONFIG_PRODUCTION", "NPM_CONFIG_OMIT"),
    "yarn": ("NODE_ENV",),
    "pnpm": ("NODE_ENV",),
    "composer": ("COMPOSER_NO_DEV",),
    "poetry": ("POETRY_WITHOUT",),
    "uv": ("UV_NO_DEV",),
    "bundle": ("BUNDLE_WITHOUT", "BUNDLE_ONLY"),
}
_OF_NODE = frozenset({"npm", "yarn", "pnpm"})
_BUILDING = frozenset({"run", "build", "run-script"})


def _check(subject: Subject) -> Iterator[Hit]:
    # A server for developing needs them, and is said to be one.
    if next(dev_servers(subject), None) is not None:
        return
    built = {name for script in subject.run_scripts() for command in script.commands if (name := _builds(command))}
    if _bundle_is_told(subject):
        built.add("bundle")
    for script in subject.run_scripts():
        for command in script.commands:
            program = _installs(command)
            if program is None or program in built or _switched(script, command, program):
                continue
            if program in _OF_NODE and _has_none(subject, script):
                continue
            if any(_prunes(later) for later in script.commands if later.start > command.start):
                continue
            flag = _INSTALLS[program][2]
            yield Hit(
                span=script.span_of(command),
                message=f"{program} installs what only developers need, too",
                fix=f"write {' '.join(unwrap(command.argv)[:2])} {flag}"
                if flag
                else "set BUNDLE_WITHOUT=development:test",
                edits=_changes(subject, script, command, flag),
            )


def _has_none(subject: Subject, script: Script) -> bool:
    """Whether package.json is at hand, and names nothing that only developers need."""
    package = package_in(subject, script.step.workdir)
    return package is not None and not package.get("devDependencies")


def _bundle_is_told(subject: Subject) -> bool:
    """Whether bundler is told once for all, by `bundle config set without …`."""
    return any(
        one.argv[:2] == ("bundle", "config") and {"without", "deployment", "--without", "only"} & set(one.argv)
        for script in subject.run_scripts()
        for one in script.commands
    )


def _installs(command: Command) -> str | None:
    """The package manager that installs a project's own packages, the developers' included."""
    argv = unwrap(command.argv)
    program = name_of(argv[0]) if argv else ""
    if program not in _INSTALLS:
        return None
    verbs, without, _ = _INSTALLS[program]
    plain = [word for word in argv[1:] if not word.startswith("-")]
    options = [word for word in argv[1:] if word.startswith("-")]
    if (plain[0] if plain else "") not in verbs or len(plain) > 1 or {"-g", "--global", "--version"} & set(options):
        return None
    return None if any(option in without for option in options) else program


def _switched(script: Script, command: Command, program: str) -> bool:
    values = script.step.scope.values
    own = {name: value for name, _, value in (one.partition("=") for one in command.assignments)}
    for name in _SWITCHES[program]:
        value = own.get(name, values.get(name, "") if name in values else "")
        if value is None or (value and (name != "NODE_ENV" or value == "production")):
            return True
    return False


def _builds(command: Command) -> str | None:
    """A manager that also runs the project's build in the chain, for which the developers' packages are needed."""
    argv = unwrap(command.argv)
    program = name_of(argv[0]) if argv else ""
    return program if program in _INSTALLS and len(argv) > 1 and argv[1] in _BUILDING else None


def _prunes(command: Command) -> bool:
    argv = unwrap(command.argv)
    return len(argv) > 1 and (argv[1] == "prune" or "--production" in argv)


def _changes(subject: Subject, script: Script, command: Command, flag: str) -> tuple[Edit, ...]:
    if not flag:
        return ()
    verbs = _INSTALLS[name_of(unwrap(command.argv)[0])][0]
    word = next((one for one in command.words if one.text in verbs), None)
    return edits.in_script(subject.dockerfile, script, word.end, word.end, f" {flag}") if word else ()


RULE = Rule(
    id="IF309",
    severity=Severity.INFO,
    principle=Principle.LIGHTWEIGHT,
    title="The developers' packages stay out of the image",
    check=_check,
)

"""IF301: a package manager leaves its cache in the layer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from linters import edits
from linters.model import Edit, Principle, Severity
from linters.packages import Call, Verb
from linters.programs import name_of, unwrap
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.scripts import Script
from linters.shell import Command
from linters.shell import commands as parsed
from linters.stages import Step, mount_options

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cache:
    """Where a manager keeps its cache, which verbs fill it, what keeps it from doing so, and how to clean it."""

    what: str
    verbs: tuple[Verb, ...]
    folders: tuple[str, ...]
    cleaners: tuple[tuple[str, ...], ...]
    fix: str
    without: tuple[str, ...] = ()
    switch: str | None = None
    option: str = ""


_CACHES = {
    "apt": _Cache(
        what="the package lists in /var/lib/apt/lists",
        verbs=(Verb.UPDATE,),
        folders=("/var/lib/apt/lists",),
        cleaners=(("apt-get", "dist-clean"), ("apt-get", "distclean"), ("apt", "distclean")),
        fix="end this RUN with && rm -rf /var/lib/apt/lists/*",
    ),
    "apk": _Cache(
        what="the package index in /var/cache/apk",
        verbs=(Verb.INSTALL, Verb.UPDATE, Verb.UPGRADE),
        folders=("/var/cache/apk", "/etc/apk/cache"),
        cleaners=(),
        fix="write apk add --no-cache, without apk update",
        without=("--no-cache",),
        option="--no-cache",
    ),
    "dnf": _Cache(
        what="the package cache in /var/cache",
        verbs=(Verb.INSTALL, Verb.UPGRADE),
        folders=("/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5"),
        cleaners=(("dnf", "clean"), ("yum", "clean"), ("microdnf", "clean"), ("tdnf", "clean")),
        fix="end this RUN with && dnf clean all",
    ),
    "zypper": _Cache(
        what="the package cache in /var/cache/zypp",
        verbs=(Verb.INSTALL, Verb.UPGRADE),
        folders=("/var/cache/zypp",),
        cleaners=(("zypper", "clean"), ("zypper", "cc")),
        fix="end this RUN with && zypper clean --all",
    ),
    "pip": _Cache(
        what="the download cache of pip",
        verbs=(Verb.INSTALL,),
        folders=("/root/.cache", "~/.cache", "$HOME/.cache"),
        cleaners=(("pip", "cache"), ("pip3", "cache")),
        fix="write pip install --no-cache-dir, or mount a cache (of root: /root/.cache/pip)",
        without=("--no-cache-dir", "--no-cache"),
        switch="PIP_NO_CACHE_DIR",
        option="--no-cache-dir",
    ),
    "npm": _Cache(
        what="the download cache of npm",
        verbs=(Verb.INSTALL,),
        folders=("/root/.npm", "~/.npm", "$HOME/.npm"),
        cleaners=(("npm", "cache"),),
        fix="end this RUN with && npm cache clean --force, or mount a cache (of root: /root/.npm)",
    ),
    "yarn": _Cache(
        what="the download cache of yarn",
        verbs=(Verb.INSTALL,),
        folders=("/usr/local/share/.cache", "/root/.cache", "~/.cache", "/root/.yarn", "~/.yarn"),
        cleaners=(("yarn", "cache"),),
        fix="end this RUN with && yarn cache clean",
    ),
    "conda": _Cache(
        what="the package cache of conda",
        verbs=(Verb.INSTALL,),
        folders=("/opt/conda/pkgs",),
        cleaners=(("conda", "clean"), ("mamba", "clean")),
        fix="end this RUN with && conda clean --all --yes",
    ),
}


def _check(subject: Subject) -> Iterator[Hit]:
    needs = _Needs(subject)
    for script in subject.run_scripts():
        reported: set[str] = set()
        cleaned: dict[str, int] = {}
        for call in subject.calls(script):
            cache = _CACHES.get(call.manager)
            if cache is None or call.manager in reported or call.verb not in cache.verbs:
                continue
            if call.manager not in cleaned:
                cleaned[call.manager] = _last_cleaning(script, cache)
            if cleaned[call.manager] > call.command.start or _kept_out(script, call, cache):
                continue
            reported.add(call.manager)
            said = " ".join(word.text for word in call.command.words[:3])
            changes = _changes(subject, script, call, cache, needs)
            yield Hit(
                span=script.span_of(call.command),
                message=f"`{said}` leaves {cache.what} in the layer",
                fix=cache.fix,
                severity=Severity.INFO if subject.squashed and _cleaned_behind(subject, script, cache) else None,
                edits=changes,
                safe=bool(changes),
            )


def _changes(subject: Subject, script: Script, call: Call, cache: _Cache, needs: _Needs) -> tuple[Edit, ...]:
    """What keeps the cache out: the manager's own switch at each of its calls, or apt's lists removed at the end."""
    if call.manager == "apt":
        return _lists_removed(subject, script, call, needs)
    if not cache.option:
        return ()
    if call.manager == "apk" and _ASKS_INDEX.search(script.text):
        return ()  # what is to be kept out is worked with
    changes: list[Edit] = []
    for one in subject.calls(script):
        if one.manager != call.manager or one.verb not in cache.verbs or _has_option(one, cache):
            continue
        behind = _behind(subject, script, one) if one.verb is Verb.UPDATE else None
        if behind is not None:
            # An index that nobody keeps is fetched by the install itself.
            gone = edits.in_script(subject.dockerfile, script, one.command.start, behind.start, "")
            if not gone:
                return ()
            changes += gone
            continue
        verb = next((word for word in one.command.words if word.text in _VERBS), None)
        change = edits.in_script(subject.dockerfile, script, verb.end, verb.end, f" {cache.option}") if verb else ()
        if not change:
            return ()
        changes += change
    return tuple(changes)


def _behind(subject: Subject, script: Script, update: Call) -> Command | None:
    """The install that comes right behind an update, which so does nothing but prepare that one."""
    at = script.commands.index(update.command)
    following = script.commands[at + 1] if at + 1 < len(script.commands) else None
    operator = update.command.after
    before = script.text[: update.command.start].rstrip(" \t\\\r\n")
    led = script.commands[at - 1].after if at else ""
    if before.endswith(("!", "|")) or led not in ("", "&&", ";"):
        return None  # `a || apk update && apk add b` is another thing without the middle
    if operator == ";" and (led == "&&" or before.endswith("&&")):
        return None  # `a && apk update; apk add b` installs whatever `a` says
    joined = following is not None and operator in ("&&", ";") and update.command.depth == following.depth
    plain = not update.options and not update.command.redirected and not update.command.assignments
    wanted = any(
        one.command == following and one.manager == update.manager and one.verb in (Verb.INSTALL, Verb.UPGRADE)
        for one in subject.calls(script)
    )
    # Only blanks and the operator may go with it: no `(`, no `{`.
    between = script.text[update.command.end : following.start] if following is not None else ""
    return (
        following if joined and plain and wanted and not between.replace(operator, "", 1).strip(" \t\\\r\n") else None
    )


def _lists_removed(subject: Subject, script: Script, call: Call, needs: _Needs) -> tuple[Edit, ...]:
    """Only where nothing behind this RUN works from the lists, and the end of the script can be added to."""
    commands = script.commands
    text = script.text.rstrip()
    last = commands[-1]
    installs = [one for one in subject.calls(script) if one.manager == "apt" and one.verb is Verb.INSTALL]
    if not any(one.command.start > call.command.start for one in installs) or needs.line > script.step.instruction.line:
        return ()
    if "#" in script.text or last.redirected or last.after not in ("", ";") or name_of(call.command.argv[0]) == "sudo":
        return ()
    if last.depth or last.end != len(text) or not _reads_on(text) or _ENDING.intersection(map(name_of, last.argv[:2])):
        return ()
    if script.body_line is not None:
        line, column = script.locate(len(text))
        place = subject.dockerfile.offset(line, column)
        return (Edit(start=place, end=place, text="\nrm -rf /var/lib/apt/lists/*"),)
    if "\n" in text:
        return ()
    return edits.in_script(subject.dockerfile, script, len(text), len(text), " && rm -rf /var/lib/apt/lists/*")


def _reads_on(text: str) -> bool:
    """Whether what is put behind the script is a command of it: not where a quote was left open."""
    return parsed(f"{text} && rm x")[-1].argv == ("rm", "x")


class _Needs:
    """Which RUN of any stage is the last that installs without lists of its own; looked for once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @cached_property
    def line(self) -> int:
        """Its line, 0 where there is none."""
        lines = [0]
        for stage in self._subject.plan.stages:
            for step in (*stage.steps, *stage.triggers):
                if step.instruction.keyword == "RUN" and any(map(self._needs, self._subject.scripts(step))):
                    lines.append(step.instruction.line)
        return max(lines)

    def _needs(self, script: Script) -> bool:
        verbs = [one.verb for one in self._subject.calls(script) if one.manager == "apt"]
        return Verb.INSTALL in verbs and Verb.UPDATE not in verbs[: verbs.index(Verb.INSTALL)]


def _cleaned_behind(subject: Subject, script: Script, cache: _Cache) -> bool:
    """Whether a later RUN cleans up, which counts where the layers become one."""
    line = script.step.instruction.line
    return any(
        _cleans(command, cache)
        for later in subject.run_scripts()
        if later.step.instruction.line > line
        for command in later.commands
    )


_ASKS_INDEX = re.compile(r"\bapk\b[^\n;&|]*\b(?:search|policy|list|fetch|version)\b")
_ENDING = frozenset({"exit", "exec", "return", "break", "continue"})
"""Behind these nothing is run, `command` and `builtin` in front of them or not."""
_VERBS = frozenset({"add", "update", "upgrade", "install"})


def _has_option(call: Call, cache: _Cache) -> bool:
    return any(option in cache.without or option.partition("=")[0] in cache.without for option in call.options)


def _kept_out(script: Script, call: Call, cache: _Cache) -> bool:
    if _has_option(call, cache):
        return True
    if cache.switch and _switched(script.step, cache.switch):
        return True
    if cache.switch and any(word.startswith(f"{cache.switch}=") for word in call.command.assignments):
        return True
    return _mounted(script.step, cache)


def _switched(step: Step, name: str) -> bool:
    # pip takes any value of the variable, `0` and `off` too, for a true one since 19.
    return bool(step.scope.values.get(name))


def _mounted(step: Step, cache: _Cache) -> bool:
    for flag in step.instruction.flags:
        options = mount_options(flag.value or "") if flag.name == "mount" else {}
        if options.get("type") in ("cache", "tmpfs"):
            target = step.path(options["target"]) or options["target"]
            names = [posixpath.basename(folder.rstrip("/")).lstrip(".") for folder in cache.folders]
            if any(_inside(folder, target) or _inside(target, folder) for folder in cache.folders):
                return True
            # The cache of a user other than root lies under a home that the file need not name.
            if any(name in target for name in names if len(name) > 2):
                return True
    return False


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _last_cleaning(script: Script, cache: _Cache) -> int:
    """Where the last command that cleans up begins, -1 where there is none."""
    return next((command.start for command in reversed(script.commands) if _cleans(command, cache)), -1)


def _cleans(command: Command, cache: _Cache) -> bool:
    argv = unwrap(command.argv)
    if not argv:
        return False
    plain = tuple(word for word in argv[1:] if not word.startswith("-"))
    return (name_of(argv[0]), *plain[:1]) in cache.cleaners or _removes(name_of(argv[0]), plain, cache)


def _removes(program: str, paths: tuple[str, ...], cache: _Cache) -> bool:
    if program not in ("rm", "find"):
        return False
    cleaned = [re.sub(r"\$\{HOME\}", "$HOME", path).rstrip("*").rstrip("/") for path in paths]
    return any(_inside(folder, path) for path in cleaned if path.count("/") for folder in cache.folders)


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.remains import caches  # noqa: PLC0415 - who judges a file has no use for it

    return caches(evidence)


RULE = Rule(
    id="IF301",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A layer holds no package manager's cache",
    check=_check,
    image=_image,
    covers=frozenset({"DL3009", "DL3019", "DL3032", "DL3036", "DL3040", "DL3042", "DL3060"}),
)

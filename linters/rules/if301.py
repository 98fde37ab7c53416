"""IF301: a package manager leaves its cache in the layer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from linters.model import Principle, Severity
from linters.packages import Call, Verb
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.stages import Step, mount_options


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
        fix="write pip install --no-cache-dir, or mount a cache on /root/.cache/pip",
        without=("--no-cache-dir", "--no-cache"),
        switch="PIP_NO_CACHE_DIR",
    ),
    "npm": _Cache(
        what="the download cache of npm",
        verbs=(Verb.INSTALL,),
        folders=("/root/.npm", "~/.npm", "$HOME/.npm"),
        cleaners=(("npm", "cache"),),
        fix="end this RUN with && npm cache clean --force, or mount a cache on /root/.npm",
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
    for script in subject.run_scripts():
        reported: set[str] = set()
        for call in subject.calls(script):
            cache = _CACHES.get(call.manager)
            if cache is None or call.manager in reported or call.verb not in cache.verbs:
                continue
            if _kept_out(script, call, cache):
                continue
            reported.add(call.manager)
            said = " ".join(word.text for word in call.command.words[:3])
            yield Hit(
                span=script.span_of(call.command),
                message=f"`{said}` leaves {cache.what} in the layer",
                fix=cache.fix,
            )


def _kept_out(script: Script, call: Call, cache: _Cache) -> bool:
    if any(option in cache.without or option.partition("=")[0] in cache.without for option in call.options):
        return True
    if cache.switch and _switched(script.step, cache.switch):
        return True
    if cache.switch and any(word.startswith(f"{cache.switch}=") for word in call.command.assignments):
        return True
    return _mounted(script.step, cache) or _cleaned_later(script, call, cache)


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


def _cleaned_later(script: Script, call: Call, cache: _Cache) -> bool:
    for command in script.commands:
        if command.start <= call.command.start:
            continue
        argv = unwrap(command.argv)
        if not argv:
            continue
        plain = tuple(word for word in argv[1:] if not word.startswith("-"))
        if (name_of(argv[0]), *plain[:1]) in cache.cleaners:
            return True
        if _removes(name_of(argv[0]), plain, cache):
            return True
    return False


def _removes(program: str, paths: tuple[str, ...], cache: _Cache) -> bool:
    if program not in ("rm", "find"):
        return False
    cleaned = [re.sub(r"\$\{HOME\}", "$HOME", path).rstrip("*").rstrip("/") for path in paths]
    return any(_inside(folder, path) for path in cleaned if path.count("/") for folder in cache.folders)


RULE = Rule(
    id="IF301",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A layer holds no package manager's cache",
    check=_check,
    covers=frozenset({"DL3009", "DL3019", "DL3032", "DL3036", "DL3040", "DL3042", "DL3060"}),
)

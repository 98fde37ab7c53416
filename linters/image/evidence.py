"""What the rules go by: of an image's files only those that one of them may speak of, sorted in one pass."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from linters.image.model import FileKind, ImageFacts, LayerFile
from linters.image.secret_files import FoundSecret, SecretFiles

SHOWN = 5
"""Files that a finding names, the largest ones."""
_RAISING = 0o6000  # setuid and setgid
_HOME = r"(?:root|home/[^/]+)"
CACHES: tuple[tuple[str, str], ...] = (
    ("apt", r"var/lib/apt/lists/(?!lock$|partial/)|var/cache/apt/(?!.*lock$)"),
    ("apk", r"var/cache/apk/|etc/apk/cache/"),
    ("dnf", r"var/cache/(?:dnf|yum|libdnf5)/"),
    ("zypper", r"var/cache/zypp/"),
    ("pip", rf"{_HOME}/\.cache/pip/"),
    ("uv", rf"{_HOME}/\.cache/uv/"),
    ("poetry", rf"{_HOME}/\.cache/pypoetry/"),
    ("npm", rf"{_HOME}/\.npm/_cacache/"),
    ("yarn", rf"{_HOME}/\.cache/yarn/|usr/local/share/\.cache/yarn/"),
    ("go", rf"{_HOME}/\.cache/go-build/|(?:{_HOME}/)?go/pkg/mod/cache/"),
    ("cargo", rf"(?:{_HOME}/\.cargo|usr/local/cargo)/registry/(?:cache|src)/"),
    ("maven", rf"{_HOME}/\.m2/repository/"),
    ("gradle", rf"{_HOME}/\.gradle/caches/"),
    ("composer", rf"{_HOME}/(?:\.composer/cache|\.cache/composer)/"),
    ("conda", r"opt/(?:conda|miniconda3?)/pkgs/"),
)
"""What package managers keep for a next time that never comes, by what their paths begin with."""
_CACHE = re.compile("|".join(f"(?P<{kind}>/(?:{pattern}))" for kind, pattern in CACHES))
_TOOL = re.compile(
    r"/(?:usr/(?:local/)?)?s?bin/(?:[a-z0-9_]+-(?:[a-z0-9]+-)?linux-(?:gnu|musl)[a-z0-9]*-)?"
    r"(gcc|g\+\+|clang|clang\+\+|make|gmake|cmake|ninja|meson|autoconf|automake|bison|flex|rustc|cargo|javac|mvn|gradle)"
    r"(?:-[0-9.]+)?$|/usr/(?:local|lib)/go(?:-[0-9.]+)?/bin/(go)$"
)
_REPOSITORY = re.compile(r"(.*?/\.git)/")
_ACCOUNTS = frozenset({"/etc/passwd", "/etc/shadow"})
_ACCOUNTS_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Heap:
    """Files of one kind: how many, their bytes together, and the first path."""

    name: str
    files: int
    size: int
    example: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """An image's facts, and of its files what rules speak of.

    `raising` are setuid and setgid files that are not so in the base; `caches`, `tools` (of what is beyond the base)
    and `repositories` (folders called .git) are what remains; `heaviest_waste` are the largest files that no container
    sees, `heaviest` those that one sees and the base has not. `passwd` and `shadow` are the texts of the finished tree,
    None where they are not there, `shadow` of the layer `shadow_layer`; `entry` is the script that a container starts.
    """

    facts: ImageFacts
    raising: tuple[LayerFile, ...] = ()
    secrets: tuple[FoundSecret, ...] = ()
    caches: tuple[Heap, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    repositories: tuple[Heap, ...] = ()
    heaviest_waste: tuple[LayerFile, ...] = ()
    heaviest: tuple[LayerFile, ...] = ()
    passwd: str | None = None
    shadow: str | None = None
    shadow_layer: int = 0
    entry: str = ""


@dataclass(slots=True)
class _Sum:
    files: int = 0
    size: int = 0
    example: str = ""

    def add(self, file: LayerFile) -> None:
        self.files += 1
        self.size += file.size
        self.example = self.example or file.path


@dataclass(slots=True)
class _Sorting:
    """The pass itself; what it keeps grows with what there is to speak of, not with the image."""

    facts: ImageFacts
    secrets: SecretFiles
    script: str | None
    raising: dict[str, LayerFile] = field(default_factory=dict)
    raised_below: dict[str, int] = field(default_factory=dict)
    caches: dict[str, _Sum] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    tools_below: set[str] = field(default_factory=set)
    repositories: dict[str, _Sum] = field(default_factory=dict)
    heaviest_waste: list[tuple[int, str, int, LayerFile]] = field(default_factory=list)
    heaviest: list[tuple[int, str, int, LayerFile]] = field(default_factory=list)
    accounts: dict[str, LayerFile] = field(default_factory=dict)
    entry: LayerFile | None = None

    def see(self, file: LayerFile) -> None:
        below = self.facts.base is not None and file.layer < self.facts.base
        if file.kind is FileKind.FILE:
            self._weigh(file, below)
            self.secrets.see(file)
        elif file.kind is FileKind.DIRECTORY:
            return
        if file.mode & _RAISING and file.kind is not FileKind.SYMLINK:
            if below:
                self.raised_below[file.path] = file.mode
            elif file.kept:
                self.raising[file.path] = file
        if file.path in _ACCOUNTS and file.kept:
            self.accounts[file.path] = file
        if file.path == self.script and file.kept:
            self.entry = file
        if not file.kept and "/.git/" not in file.path:
            return
        self._sort(file, below)

    def _sort(self, file: LayerFile, below: bool) -> None:
        repository = _REPOSITORY.match(file.path) if "/.git/" in file.path else None
        if repository is not None:
            self.repositories.setdefault(repository[1], _Sum()).add(file)
            return
        cache = _CACHE.match(file.path)
        if cache is not None:
            if not below and file.kind is FileKind.FILE:
                self.caches.setdefault(str(cache.lastgroup), _Sum()).add(file)
            return
        tool = _TOOL.match(file.path)
        if tool is None:
            return
        name = tool[1] or tool[2]
        if below:
            self.tools_below.add(name)
        else:
            self.tools.setdefault(name, file.path)

    def _weigh(self, file: LayerFile, below: bool) -> None:
        if file.kept and below:
            return
        kept = self.heaviest if file.kept else self.heaviest_waste
        entry = (file.size, file.path, file.layer, file)
        if len(kept) < SHOWN:
            heapq.heappush(kept, entry)
        elif entry[:3] > kept[0][:3]:
            heapq.heapreplace(kept, entry)


def gather(facts: ImageFacts, files: Iterable[LayerFile]) -> Evidence:
    """Go through the files once. Raises what their `read` raises."""
    sorting = _Sorting(facts=facts, secrets=SecretFiles(facts), script=_script(facts))
    for file in files:
        sorting.see(file)
    raising = (
        file
        for path, file in sorted(sorting.raising.items())
        if facts.is_own(file.layer) and file.mode & _RAISING & ~sorting.raised_below.get(path, 0)
    )
    accounts = sorting.accounts
    return Evidence(
        facts=facts,
        raising=tuple(raising),
        secrets=sorting.secrets.found(),
        caches=tuple(_heaps(sorting.caches)),
        tools=tuple(sorted(sorting.tools.items())) if facts.base is not None and not sorting.tools_below else (),
        repositories=tuple(_heaps(sorting.repositories)),
        heaviest_waste=tuple(entry[3] for entry in sorted(sorting.heaviest_waste, reverse=True)),
        heaviest=tuple(entry[3] for entry in sorted(sorting.heaviest, reverse=True)),
        passwd=_content(accounts.get("/etc/passwd")),
        shadow=_content(accounts.get("/etc/shadow")),
        shadow_layer=accounts["/etc/shadow"].layer if "/etc/shadow" in accounts else 0,
        entry=_content(sorting.entry) or "",
    )


def _script(facts: ImageFacts) -> str | None:
    """The program that is started, where it is named by its path."""
    words = facts.entrypoint or facts.cmd
    named = next((word for word in words if not word.startswith("-")), "")
    return named if named.startswith("/") else f"/usr/local/bin/{named}" if named and "/" not in named else None


def _content(file: LayerFile | None) -> str | None:
    if file is None or file.read is None:
        return None
    return file.read(_ACCOUNTS_BYTES).decode("utf-8", "replace")


def _heaps(found: dict[str, _Sum]) -> Iterator[Heap]:
    for name, total in sorted(found.items()):
        yield Heap(name=name, files=total.files, size=total.size, example=total.example)

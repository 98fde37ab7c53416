"""The host's apt configuration, as far as a bootstrap needs it: sources of one suite, and the Acquire options.

Formats: sources.list(5), one-line and deb822; ``apt-config dump``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>(?:\s+\S+)*)")
_DUMPED = re.compile(r'(?P<name>Acquire::\S+) "(?P<value>.*)";')
# What apt itself sets; it is the same in the bootstrap, and needs no telling.
_BUILT_IN = re.compile(r"Acquire::(IndexTargets|Changelogs|CompressionTypes|cdrom)\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class AptSource:
    """One archive: `uri`, the `suites` and `components` taken from it, and the keyring that signs it, if named."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None

    def stanza(self) -> str:
        """As a deb822 stanza."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {' '.join(self.suites)}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"

    @property
    def has_credentials(self) -> bool:
        """Whether a user or a password stands in the URI, which the image would then carry."""
        return "@" in urlsplit(self.uri).netloc


def read_sources(folder: Path) -> list[AptSource]:
    """Every source of binary packages under `folder` (``/etc/apt``)."""
    found: list[AptSource] = []
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            found += parse_stanzas(text)
        elif path.suffix == ".list":
            found += parse_lines(text)
    return found


def for_suite(sources: Iterable[AptSource], suite: str) -> list[AptSource]:
    """Those that carry `suite`, its updates or its security fixes, cut down to these."""
    wanted = (suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates")
    chosen = []
    for source in sources:
        suites = tuple(name for name in source.suites if name.rstrip("/") in wanted)
        if suites:
            chosen.append(
                AptSource(uri=source.uri, suites=suites, components=source.components, signed_by=source.signed_by)
            )
    return chosen


def parse_lines(text: str) -> Iterator[AptSource]:
    """The one-line format: ``deb [signed-by=…] URI SUITE COMPONENT…``."""
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match:
            options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
            yield AptSource(
                uri=match["uri"],
                suites=(match["suite"],),
                components=tuple(match["components"].split()),
                signed_by=options.get("signed-by"),
            )


def parse_stanzas(text: str) -> Iterator[AptSource]:
    """The deb822 format: fields a line, stanzas parted by empty lines. An embedded key is not carried over."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed_by = fields.get("signed-by", "").strip()
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=signed_by if signed_by.startswith("/") else None,
            )


def acquire_options(dumped: str) -> list[str]:
    """The host's own Acquire options out of ``apt-config dump``, each as a line of apt.conf(5)."""
    return [
        f'{match["name"]} "{match["value"]}";'
        for line in dumped.splitlines()
        if (match := _DUMPED.fullmatch(line.strip())) and match["value"] and not _BUILT_IN.match(match["name"])
    ]

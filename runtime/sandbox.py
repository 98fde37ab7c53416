"""The container that holds the network of a pod with several containers, and outlives each of them.

No image of it can be pulled on a machine without a hub, so it is made here: one file, a static program that sleeps.
"""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Mapping

from runtime.container import ContainerRequest, Identity, domain_name, host_name, network_name
from runtime.labels import Label
from runtime.manifest.model import PodTemplate
from runtime.policy import Confinement
from runtime.resources import Limits

PROGRAM = "pause"
OOM_SCORE_ADJ = -998
"""As the kubelet gives it (pkg/kubelet/qos/policy.go): without it all containers of the pod lose their network."""
NOBODY = "65535:65535"
SANDBOX = "1"
"""The value of the label `SANDBOX`."""

_BASE = 0x400000
_HEADERS = 64 + 56
_CODE: Mapping[str, tuple[int, bytes]] = {
    # mov eax, 34 (pause); syscall; jmp to the first of these
    "amd64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # ppoll(0, 0, 0, 0), for there is no pause: mov x0..x3, #0; mov x8, #73; svc #0; b to the first of these
    "arm64": (
        183,
        b"".join(
            word.to_bytes(4, "little")
            for word in (0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x17FFFFFA)
        ),
    ),
}
"""By Go's word for the architecture: the number that ELF has for it (elf.h), and the program."""


def supported(architecture: str) -> bool:
    """Whether there is a program for it."""
    return architecture in _CODE


def program(architecture: str) -> bytes:
    """A static ELF executable that sleeps until it is killed. Raises KeyError for an architecture that has none."""
    machine, code = _CODE[architecture]
    size = _HEADERS + len(code)
    # elf(5): 64-bit, little endian; executable; entry point; one program header, right behind this one; no sections.
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    # A segment of the whole file, to be read and executed.
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return header + segment + code


def archive(architecture: str) -> bytes:
    """The root file system of its image, as a tar."""
    content = program(architecture)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(PROGRAM)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def image_name(instance: str) -> str:
    """The tag under which the instance has it; its label is that of all that is the instance's."""
    return f"imageforge-pause:{instance}"


def sandbox_request(
    template: PodTemplate, who: Identity, labels: Mapping[str, str], lowest_adj: int
) -> ContainerRequest:
    """The sandbox of a replica: it may do nothing at all."""
    return ContainerRequest(
        name=f"imageforge-{who.instance}-{who.replica}__pod",
        hostname=host_name(template, who),
        domain=domain_name(template, who),
        image=image_name(who.instance),
        network=network_name(who.instance, who.namespace),
        labels={**labels, Label.SANDBOX: SANDBOX},
        entrypoint=(f"/{PROGRAM}",),
        command=(),
        user=NOBODY,
        read_only=True,
        confinement=Confinement(drop=("ALL",), no_new_privileges=True),
        limits=Limits(oom_score_adj=max(OOM_SCORE_ADJ, lowest_adj)),
        shares_ipc=True,
        first_process=template.shares_processes,
    )

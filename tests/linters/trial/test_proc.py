"""proc(5) read: what its texts say, and this very machine's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from linters.trial.model import Listener
from linters.trial.proc import family, is_in_container, parse_listeners, parse_process, read_listeners, read_process

STAT = "17 (a) b (c) S 4 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2"
STATUS = """\
Name:\ta) b (c
Uid:\t0\t10001\t0\t0
Gid:\t0\t50\t0\t0
Groups:\t4 24\x20
SigBlk:\t0000000000000001
SigCgt:\t0000000000004002
CapEff:\t00000000a80425fb
NoNewPrivs:\t1
"""


def test_a_process_is_read_whatever_it_calls_itself() -> None:
    found = parse_process(17, STAT, STATUS, b"a\0--b\0\0", "/usr/bin/a", "do_wait")
    assert found is not None
    assert (found.parent, found.started, found.name, found.argv) == (4, 98765, "a) b (c", ("a", "--b"))
    assert (found.uid, found.gid, found.groups, found.no_new_privileges) == (10001, 50, (4, 24), True)
    assert (found.capabilities, found.caught, found.waits) == (0xA80425FB, 0x4003, True)


def test_a_zombie_and_a_text_that_was_cut_off_are_no_process() -> None:
    assert parse_process(17, STAT.replace(" S ", " Z "), STATUS, b"", "") is None
    assert parse_process(17, "17 (a) S 4", STATUS, b"", "") is None
    found = parse_process(17, STAT, "", b"", "")
    assert found is not None
    assert (found.uid, found.argv, found.title, found.waits) == (0, (), "[]", False)


def test_a_real_process_its_children_and_its_end() -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: None); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = read_process(child.pid)
        assert found is not None
        assert (found.parent, found.uid, bool(found.caught & 1 << 14)) == (os.getpid(), os.geteuid(), True)
        assert found.argv[1:] == ("-c", code)
        assert Path(found.program).samefile(sys.executable)
        assert {os.getpid(), child.pid} <= set(family(os.getpid()))
        child.kill()
    assert read_process(child.pid) is None
    assert list(family(child.pid)) == [child.pid]


def test_real_sockets_that_listen_and_no_others() -> None:
    with socket.socket() as inner, socket.socket() as outer, socket.socket() as idle, socket.socket() as client:
        for one, address in ((inner, "127.0.0.1"), (outer, "0.0.0.0"), (idle, "127.0.0.1")):
            one.bind((address, 0))
        inner.listen()
        outer.listen()
        client.connect(inner.getsockname())
        found = {one.port: one for one in read_listeners(os.getpid())}
        assert found[inner.getsockname()[1]].loopback
        assert not found[outer.getsockname()[1]].loopback
        assert idle.getsockname()[1] not in found
        assert client.getsockname()[1] not in found


def test_addresses_of_both_families() -> None:
    text = "head\n" + "\n".join(
        f"   0: {address}:1F90 00000000:0000 {state} 0" for address, state in (
            ("0100007F", "0A"), ("00000000", "0A"), ("0100007F", "01"),
            ("00000000000000000000000001000000", "0A"), ("0000000000000000FFFF00000100007F", "0A"),
            ("00000000000000000000000000000000", "0A"),
        )
    )  # fmt: skip
    assert [(one.address, one.loopback) for one in parse_listeners(text)] == [
        ("127.0.0.1", True),
        ("0.0.0.0", False),
        ("::1", True),
        ("127.0.0.1", True),
        ("::", False),
    ]
    assert list(parse_listeners("")) == list(parse_listeners("head\n\nshort line\n")) == []
    assert Listener(port=1, address="a", loopback=True) < Listener(port=2, address="a", loopback=True)


def test_a_process_of_ours_is_in_no_container(tmp_path: Path) -> None:
    assert not is_in_container(os.getpid(), "0" * 64)
    assert not is_in_container(2**22 + 1, "0" * 64)
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "cgroup").write_text(f"0::/docker/{'a' * 64}\n")
    assert is_in_container(7, "a" * 64, tmp_path)


@given(st.text(), st.text(), st.binary())
def test_no_text_makes_it_raise(stat: str, name: str, command: bytes) -> None:
    odd = parse_process(1, stat, f"Name:\t{name}\n", command, "")
    assert odd is None or odd.pid == 1
    found = parse_process(1, STAT, f"Name:\t{name}\n", command, "")
    assert found is not None
    assert len(found.argv) == (command.rstrip(b"\0").count(b"\0") + 1 if command else 0)

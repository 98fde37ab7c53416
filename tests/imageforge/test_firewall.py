"""What a private engine left in the packet filter is taken back, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imageforge.stack.firewall import undo

BEFORE = """-P INPUT ACCEPT
-P FORWARD ACCEPT
-N MINE
-A INPUT -p tcp -j ACCEPT
-A FORWARD -i br-lan -o eth0 -j ACCEPT
-A MINE -j DROP""".splitlines()
ADDED = """-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o ifg0123abcd -j DOCKER
-A FORWARD -i ifg0123abcd ! -o ifg0123abcd -j ACCEPT
-A FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT
-A FORWARD -i ifg99o -j ACCEPT
-A FORWARD -i eth0 -o wg0 -m comment --comment "to the office" -j ACCEPT
-A DOCKER-USER -s 10.0.0.7/32 -j DROP
-A DOCKER-USER -j RETURN""".splitlines()


def test_only_what_the_engine_added_goes() -> None:
    commands = [" ".join(command) for command in undo(BEFORE, [*BEFORE, *ADDED])]
    assert commands == [
        "-D FORWARD -j DOCKER-USER",
        "-D FORWARD -o ifg0123abcd -j DOCKER",
        "-D FORWARD -i ifg0123abcd ! -o ifg0123abcd -j ACCEPT",
        "-D FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT",
        "-D DOCKER-USER -j RETURN",
        "-F DOCKER",
        "-X DOCKER",
        "-X DOCKER-USER",
    ]


def test_a_filter_that_did_not_change_is_left_alone() -> None:
    assert undo(BEFORE, BEFORE) == []


TWO_ENGINES = r"""
import shutil, subprocess, sys
from pathlib import Path
from imageforge.stack import firewall

folder = Path(sys.argv[1])
notes = folder / "notes"

def iptables(*words):
    done = subprocess.run(["iptables", "-w", *words], check=True, capture_output=True, text=True)
    return done.stdout

def engine(name, bridge):
    firewall.remember(firewall.written_down(notes))
    for words in (["-N", "DOCKER"], ["-N", "DOCKER-USER"]):
        subprocess.run(["iptables", "-w", *words], capture_output=True)
    iptables("-A", "FORWARD", "-o", bridge, "-j", "DOCKER")
    iptables("-P", "FORWARD", "DROP")
    shutil.copy(shutil.which("sleep"), folder / name / "dockerd")
    return subprocess.Popen([folder / name / "dockerd", "60"])

iptables("-A", "FORWARD", "-i", "br-lan", "-j", "ACCEPT")
before = iptables("-S")
for name in ("first", "second"):
    (folder / name).mkdir()
first = engine("first", "ifg00000001")
second = engine("second", "ifg00000002")
first.kill(), first.wait()
shutil.rmtree(folder / "first")
firewall.restore(firewall.written_down(notes))
assert "ifg00000002 -j DOCKER" in iptables("-S"), "the second one runs"
second.kill(), second.wait()
shutil.rmtree(folder / "second")
firewall.restore(firewall.written_down(notes))
assert iptables("-S") == before, iptables("-S")
assert not list(folder.iterdir()), "nothing is left"
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables") or not shutil.which("unshare"),
    reason="only root has a packet filter to change",
)
def test_the_last_of_two_engines_leaves_the_filter_as_the_first_one_found_it(tmp_path: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-c", TWO_ENGINES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0, done.stderr

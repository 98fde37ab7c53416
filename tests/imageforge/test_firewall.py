"""What a private engine left in the packet filter is taken back, and nothing else."""

from __future__ import annotations

from imageforge.stack.firewall import undo

BRIDGE = "ifg0123abcd"
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
    commands = [" ".join(command) for command in undo(BEFORE, [*BEFORE, *ADDED], BRIDGE)]
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
    assert undo(BEFORE, BEFORE, BRIDGE) == []

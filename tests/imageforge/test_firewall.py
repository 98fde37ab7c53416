"""What a private engine left in the packet filter is taken back, and nothing else."""

from __future__ import annotations

from imageforge.stack.firewall import docker_rules

LISTED = """-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER
-N DOCKER-USER
-N MINE
-A INPUT -p tcp -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o ifg0123abcd -j DOCKER
-A FORWARD -i ifg0123abcd ! -o ifg0123abcd -j ACCEPT
-A FORWARD -i eth0 -o wg0 -m comment --comment "to the office" -j ACCEPT
-A DOCKER-USER -j RETURN
-A MINE -j DROP""".splitlines()


def test_only_docker_s_rules_go_and_chains_last() -> None:
    commands = [" ".join(command) for command in docker_rules(LISTED)]
    assert commands == [
        "-D FORWARD -j DOCKER-USER",
        "-D FORWARD -o ifg0123abcd -j DOCKER",
        "-D FORWARD -i ifg0123abcd ! -o ifg0123abcd -j ACCEPT",
        "-F DOCKER",
        "-F DOCKER-USER",
        "-X DOCKER",
        "-X DOCKER-USER",
    ]


def test_a_filter_without_docker_is_left_alone() -> None:
    assert docker_rules([rule for rule in LISTED if "DOCKER" not in rule and "ifg" not in rule]) == []

"""What was built is judged before it is pushed, and tried out where its repository requires it."""

from __future__ import annotations

import base64
import copy
import re
import signal
import subprocess
import time
from pathlib import Path

import docker
import pytest

from linters import rules
from tests.e2e.conftest import EXAMPLES, Forge

pytestmark = [pytest.mark.engine, pytest.mark.slow]

BASE = "imageforge/debian:bookworm"
KEY = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"
FULL = f"""\
FROM {BASE}
RUN echo {base64.b64encode(KEY).decode()} | base64 -d > /srv/tls.key
RUN rm /srv/tls.key
RUN cp /bin/bash /srv/shell && chmod u+s /srv/shell
RUN mkdir -p /root/.cache/pip && head -c 400000 /dev/zero > /root/.cache/pip/x
RUN sed -i 's/^root:[^:]*:/root::/' /etc/shadow
ARG API_TOKEN
RUN true
CMD ["true"]
"""
MEASURED = '[lint]\nrequire = "measured"\n'


def built(forge: Forge, project: Path, *more: str) -> tuple[int, str]:
    outcome = forge.run("build", project, "--name", "judged", "--no-push", "--tag", "judged:1", *more)
    return outcome.code, outcome.err


def test_an_image_is_judged_before_it_is_pushed(forge: Forge, tmp_path: Path) -> None:
    """Each rule on the image once, over the layers as they are; after a squash what it took out is no longer there."""
    (tmp_path / "Dockerfile").write_text(FULL)
    token = "8f14e45fceea167a5a36dedd4bea2543"
    whole = ("--squash", "none", "--build-arg", f"API_TOKEN={token}")
    code, err = built(forge, tmp_path, *whole)
    assert (code, "error[image-refused]: judged:1: " in err, "kept: nothing was pushed" in err) == (2, True, True), err
    told = {line.split()[2] for line in err.splitlines() if line.startswith("  judged:1 ")}
    assert told >= {"IF209", "IF211", "IF301", "IF402", "IF406", "IF407"}, err
    assert "/srv/tls.key holds a private key, for all who have the image; it is deleted later, and layer 2" in err
    assert 'rule = "IF' in err
    assert (token in err, "MIIEvQ" in err) == (False, False)
    code, err = built(forge, tmp_path, "--squash", "from-base")
    assert (code, "IF211" in err) == (2, False), err
    found = forge.run("lint", "--image", BASE, "--base", "scratch", "-o", "json")
    assert ("IF402", "image") in [(one["rule"], one["basis"]) for one in found.json["files"][0]["findings"]]
    assert found.code == 2


def test_the_examples_of_a_rule_that_only_an_image_settles(forge: Forge, tmp_path: Path) -> None:
    only = [rule for rule in rules() if rule.image is not None and rule.check is None]
    assert [rule.id for rule in only] == ["IF310"]
    page = only[0].page
    (tmp_path / "imageforge.toml").write_text(
        "".join(f"{line.strip()}\n" for line in page.splitlines() if line.startswith("    "))
    )
    examples = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    for example, refused in zip(examples, (True, False), strict=True):
        (tmp_path / "Dockerfile").write_text(example.replace("FROM debian:bookworm", f"FROM {BASE}"))
        code, err = built(forge, tmp_path, "--squash", "none")
        assert (code, "error IF310" in err) == ((2, True) if refused else (0, False)), err


def test_the_proposed_waiver_lets_an_image_run_as_root(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {BASE}\nCMD ["true"]\n')
    code, err = built(forge, tmp_path)
    assert (code, "error[image-refused]" in err) == (2, True), err
    proposed = err.split("imageforge.toml:\n")[1]
    (tmp_path / "imageforge.toml").write_text("\n".join(line.strip() for line in proposed.splitlines()) + "\n")
    code, err = built(forge, tmp_path)
    assert (code, "waived" in err) == (0, True), err


def test_a_required_trial_refuses_passes_and_is_kept(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "imageforge.toml").write_text(MEASURED)
    (tmp_path / "Dockerfile").write_text(f'FROM {BASE}\nUSER 10001\nCMD ["sleep", "300"]\n')
    code, err = built(forge, tmp_path)
    assert (code, "error[trial-refused]: judged:1: " in err, "IF504" in err) == (2, True, True), err
    good = EXAMPLES / "06-trials" / "all-right"
    for name in ("Dockerfile", "server.py"):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    code, err = built(forge, tmp_path)
    assert (code, "trial    passed, 7 of 7 as they should be, measured in" in err) == (0, True), err
    again = forge.run("trial", "judged:1", "-o", "json")
    assert (again.code, again.json["verdict"], again.json["cached"]) == (0, "passed", True)
    assert [one["result"] for one in again.json["measures"]] == ["ok"] * 7
    (tmp_path / "imageforge.toml").write_text('[lint]\nrequire = "mesured"\n')
    code, err = built(forge, tmp_path)
    assert (code, "error[config-invalid]" in err) == (3, True), err


def test_a_trial_follows_the_waivers_of_the_folder(forge: Forge, tmp_path: Path) -> None:
    here = copy.copy(forge)
    here.folder = tmp_path
    words = ("trial", BASE, "-o", "json", "--", "sleep", "300")
    refused = here.run(*words)
    errors = {one["rule"] for one in refused.json["findings"] if one["severity"] == "error"}
    assert (refused.code, "IF504" in errors) == (2, True), refused
    waivers = (f'[[lint.waivers]]\nrule = "{one}"\nreason = "as it is"\nuntil = 2999-01-01\n' for one in errors)
    (tmp_path / "imageforge.toml").write_text("".join(waivers))
    passed = here.run(*words)
    assert (passed.code, passed.json["verdict"], passed.json["cached"]) == (0, "passed", True), passed
    assert {one["finding"]["rule"] for one in passed.json["suppressed"]} == errors
    assert "set aside IF504" in here.run("trial", BASE, "--", "sleep", "300").out


def of_trials(forge: Forge) -> dict[str, list[str]]:
    """The engine's filter for the containers of this home's trials."""
    return {"label": [f"io.imageforge.instance={forge.instance}", "io.imageforge.trial"]}


def under_way(forge: Forge, docker_client: docker.DockerClient) -> subprocess.Popen[str]:
    """A trial of what takes its time, both of whose containers run."""
    begun = forge.start("trial", BASE, "--again", "--", "sleep", "300")
    deadline = time.monotonic() + 60
    while len(docker_client.containers.list(filters=of_trials(forge))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return begun


def test_what_a_killed_trial_left_goes_with_the_next(forge: Forge, docker_client: docker.DockerClient) -> None:
    wanted = of_trials(forge)
    killed = under_way(forge, docker_client)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert docker_client.containers.list(all=True, filters=wanted)
    unmade = forge.run("trial", BASE, "--", "/no/such/program")
    assert (unmade.code, "not made: the engine cannot start it" in unmade.err) == (1, True), unmade
    assert docker_client.containers.list(all=True, filters=wanted) == []
    missing = forge.run("trial", "no/such:image")
    assert (missing.code, "error[image-missing]" in missing.err) == (4, True), missing


def test_an_interrupted_trial_leaves_nothing(forge: Forge, docker_client: docker.DockerClient) -> None:
    wanted = of_trials(forge)
    running = under_way(forge, docker_client)
    running.send_signal(signal.SIGINT)
    assert forge.end(running).code == 130
    assert docker_client.containers.list(all=True, filters=wanted) == []

"""Files that somebody wrote to stop the linter: each of these once took it minutes, or ended it."""

from pathlib import Path

import pytest

from linters import DockerfileError, check_all, own_findings
from linters.check import MOST_HITS, MOST_INSTRUCTIONS, Job
from linters.dockerfile import decode, parse
from linters.dockerfile.read import MOST_LINES
from linters.image.account import accounts
from linters.image.secret_files import secret_in
from linters.image.secrets import build_arguments
from linters.shell import MOST_COMMANDS, commands
from linters.trial.judge import signal_number

FROM = "FROM debian:12\n"
MUCH = 200_000


def rules_of(text: str) -> set[str]:
    return {finding.rule for finding in own_findings(text)}


@pytest.mark.parametrize(
    "line",
    [
        "RUN echo '-----BEGIN RSA PRIVATE KEY-----\\n" + "a: b " * 400 + "'",
        "LABEL key='-----BEGIN RSA PRIVATE KEY-----\\n" + "a: b\\n" * 400 + "'",
        "RUN echo " + "a" * MUCH + " | chpasswd",
        "RUN echo " + "chpasswd " * (MUCH // 9),
        "RUN git config " + "http." * (MUCH // 5),
        "RUN curl " + "https://" * (MUCH // 8),
        "RUN " + "pip install x;" * (MUCH // 14),
        "RUN " + "apt-get install gcc;apt-get remove x;" * (MUCH // 36),
        "EXPOSE 80 " + "22 " * (MUCH // 3),
    ],
    ids=lambda line: line[:24],
)
def test_no_line_takes_the_square_of_its_length(line: str) -> None:
    assert rules_of(f"{FROM}{line}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("EXPOSE 1-" + "0" * 5000, "IF006"),
        ("EXPOSE " + "9" * 5000, "IF006"),
        ("USER " + "1" * 5000, None),
        ("USER " + "0" * 5000, "IF401"),
        ("RUN useradd -u " + "1" * 5000 + " app\nUSER app", "IF403"),
        ("ONBUILD " * 5000 + "RUN x", "IF002"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_numbers_and_nests_of_thousands_are_read(line: str, said: str | None) -> None:
    found = rules_of(f"{FROM}{line}\n")
    assert said in found if said else "IF401" not in found


def test_a_file_of_too_many_instructions_or_lines_is_refused_and_costs_the_others_nothing() -> None:
    many, good = FROM + "RUN sudo x\n" * MOST_INSTRUCTIONS, FROM + "USER root\n"
    jobs = [Job(dockerfile=Path("Dockerfile"), name=str(at), text=text) for at, text in enumerate((many, good))]
    refused, report = check_all(jobs)
    assert isinstance(refused, DockerfileError)
    assert refused.code == "dockerfile-unreadable"
    assert "2,001 instructions" in refused.message
    assert not isinstance(report, DockerfileError)
    assert {one.rule for one in report.findings} >= {"IF401"}
    with pytest.raises(DockerfileError, match="lines"):
        decode(b"\n" * (MOST_LINES + 1), subject="Dockerfile")


def test_one_rule_says_no_more_than_anybody_reads() -> None:
    found = own_findings(FROM + "EXPOSE " + "0x " * (MOST_HITS + 100))
    assert sum(one.rule == "IF006" for one in found) == MOST_HITS


def test_a_script_of_too_many_commands_has_none() -> None:
    assert len(commands("a;" * MOST_COMMANDS)) == MOST_COMMANDS
    assert commands("a;" * (MOST_COMMANDS + 1)) == ()


@pytest.mark.parametrize("piece", ["\n", "A=" + " " * 200 + "x\n", "machine x\n", "password\n"])
@pytest.mark.parametrize(
    "name", ["/app/.env", "/root/.netrc", "/root/.aws/credentials", "/root/.kube/config", "/x/.pypirc"]
)
def test_a_file_that_repeats_itself_is_read_once(name: str, piece: str) -> None:
    assert secret_in(name, lambda most: (piece * most)[:most].encode()) in (None, "a login's password")


def test_what_an_image_says_may_be_of_any_length() -> None:
    long = "1" * 5000
    assert accounts(f"app:x:{long}:1::/:\nb:x:5:5::/:") == {"b": 5}
    assert list(build_arguments(f"|{long} A=1 /bin/sh")) == []
    assert signal_number(long) == signal_number("")


def test_keys_and_addresses_are_found_as_before() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED\\n\\n" + "aB3d" * 16
    assert "IF209" in rules_of(f"{FROM}RUN echo '{key}'\n")
    assert "IF209" in rules_of(f"{FROM}COPY <<EOF /k\n" + key.replace("\\n", "\n") + "\nEOF\n")
    latest = own_findings(f"{FROM}RUN curl -o x 'https://x.org/a/releases/latest/download/b' -s\n")
    at = next(one for one in latest if one.rule == "IF207")
    assert (at.column, at.end_column) == (16, 16 + len("https://x.org/a/releases/latest/download/b"))
    for line in ("git config --global http.sslVerify false", "git -c http.https://x.org/.sslverify=0 clone x"):
        assert "IF212" in rules_of(f"{FROM}RUN {line}\n")
    assert "IF407" in rules_of(f"{FROM}RUN true; chpasswd <<< 'root:hunter'\n")
    assert secret_in("/root/.netrc", lambda _: b"machine x\n  login y\n  password aB3dEf9hJk\n") is not None
    assert "IF006" not in rules_of(f"{FROM}EXPOSE 8000-8010/udp +80\n")
    assert parse(f"{FROM}ONBUILD RUN <<EOF\na\nEOF\n").instructions[1].heredocs

"""The instructions' own rules: what they find, and above all what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from linters import Finding, Job, Severity, own_findings


def found(text: str, rule: str, **options: object) -> list[Finding]:
    job = Job(dockerfile=Path("Dockerfile"), name="Dockerfile", text=text, **options)  # type: ignore[arg-type]
    return [one for one in own_findings(job) if one.rule == rule]


@pytest.mark.parametrize(
    "line",
    [
        "ADD https://example.org/a.json /a",
        "ADD a.tar.gz /a",
        "ADD rootfs.tar.xz /",
        "ADD a.txt b.tgz /a/",
        "ADD --checksum=sha256:0 a.txt /a",
        "ADD git@github.com:a/b.git /a",
        "ADD https://github.com/a/b.git#main /a",
        "ADD build/* /a/",
        "ADD dist/app.* /a/",
        "ADD $ARCHIVE /a/",
        'ADD ["rootfs.tar", "/"]',
    ],
)
def test_what_add_is_for(line: str) -> None:
    assert found(f"FROM a:1\n{line}\nUSER 1\n", "IF004") == []


def test_an_add_of_a_name_without_an_end_is_mended_only_when_asked_for() -> None:
    (one,) = found("FROM a:1\nADD rootfs /\nUSER 1\n", "IF004")
    assert one.edits
    assert not one.safe


@pytest.mark.parametrize(
    "text",
    [
        "FROM a:1\nWORKDIR /a\nWORKDIR b\nUSER 1\n",
        "FROM a:1 AS x\nWORKDIR /a\nFROM x\nWORKDIR b\nUSER 1\n",
        "FROM a:1\nWORKDIR $HOME/a\nUSER 1\n",
        "FROM a:1\nENV A=/x\nWORKDIR $A\nUSER 1\n",
        "FROM a:1\nWORKDIR ${A:-/x}\nUSER 1\n",
        "FROM scratch\nWORKDIR b\nUSER 1\n",
        "# escape=`\nFROM a:1\nWORKDIR C:\\b\nUSER 1\n",
        'FROM a:1\nWORKDIR "/a b"\nUSER 1\n',
        "FROM a:1\nWORKDIR $UNKNOWN\nWORKDIR b\nUSER 1\n",
    ],
)
def test_a_workdir_that_is_well(text: str) -> None:
    assert found(text, "IF005") == []


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ("80", None),
        ("0", None),
        ("80/tcp 53/UDP 9/sctp 65535", None),
        ("8000-8010/udp", None),
        ("$UNKNOWN", None),
        ("${PORT:-1027}", None),
        ("65536", Severity.ERROR),
        ("99999999999999999999", Severity.ERROR),
        ("http", Severity.ERROR),
        ("80/http", Severity.ERROR),
        ("9-8", Severity.ERROR),
        ("/tcp", Severity.ERROR),
        ("80:80", Severity.WARNING),
        ("1.2.3.4:80:80/tcp", Severity.WARNING),
        ("80,443", Severity.ERROR),
    ],
)
def test_ports(ports: str, said: Severity | None) -> None:
    assert [one.severity for one in found(f"FROM a:1\nEXPOSE {ports}\nUSER 1\n", "IF006")] == ([said] if said else [])


def test_one_of_each_a_stage_is_enough_and_not_too_much() -> None:
    text = "FROM a:1 AS x\nCMD a\nFROM x\nHEALTHCHECK NONE\nCMD b\nONBUILD CMD c\nENTRYPOINT d\nUSER 1\n"
    assert found(text, "IF008") == []
    assert [one.line for one in found(text + "HEALTHCHECK CMD a\nENTRYPOINT e\n", "IF008")] == [4, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ARG A=b\nFROM $A:1", None),
        ("ARG A\nFROM ${A:-b}:1", None),
        ("FROM --platform=$BUILDPLATFORM a:1", None),
        ("FROM a:$TARGETARCH", None),
        ("FROM a:${TAG:-1}", Severity.WARNING),
        ("FROM a${SUFFIX}:1", Severity.WARNING),
        ("FROM a:$TAG", Severity.ERROR),
        ("FROM $BASE", Severity.ERROR),
        ("FROM $HOST/a:1", Severity.ERROR),
        ("FROM x:1\nARG TAG=1\nFROM a:$TAG", Severity.ERROR),
        ("FROM --platform=$PLATFROM a:1", Severity.WARNING),
    ],
)
def test_arguments_of_from(text: str, said: Severity | None) -> None:
    assert [one.severity for one in found(f"{text}\nUSER 1\n", "IF009")] == ([said] if said else [])


@pytest.mark.parametrize(
    "text",
    [
        "FROM a:1\nENV X=$Y\n",
        "FROM a:1\nARG Y\nENV X=$Y\n",
        "FROM a:1 AS b\nARG RELEASE\nFROM b\nLABEL v=$RELEASE\n",
        "ARG NODE_VERSION=20\nFROM node:20\nLABEL v=$NODE_VERSION\n",
        "ARG RELEASE=1\nFROM a:1\nRUN echo $RELEASE\n",
        "ARG RELEASE=1\nFROM a:1\nLABEL v='$RELEASE' w=\\$RELEASE x=${RELEASE:-2}\n",
        "ARG RELEASE=1\nFROM a:1\nARG RELEASE\nLABEL v=$RELEASE\n",
        "FROM scratch\nENV PATH=$PATH:/a T=$TARGETARCH P=$HTTP_PROXY\n",
        "FROM a:1\nARG FIRST_NAME=a\nCOPY $LAST_NAME /\n",
    ],
)
def test_variables_that_may_be_set(text: str) -> None:
    assert found(f"{text}USER 1\n", "IF010") == []


def test_variables_that_nothing_sets() -> None:
    assert len(found("FROM scratch\nCOPY $WHAT /\nUSER 1\n", "IF010")) == 1
    (one,) = found("FROM a:1\nARG DESTINATION=/x\nCOPY a $DESTINATOIN\nWORKDIR $DESTINATOIN\nUSER 1\n", "IF010")
    assert one.fix == "write $DESTINATION"
    (one,) = found("ARG RELEASE=1\nFROM a:1\nLABEL v=$RELEASE\nUSER 1\n", "IF010")
    assert one.fix == "repeat ARG RELEASE in this stage"
    assert one.column == len("LABEL v=$R") - 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("builder", None),
        ("0", None),
        ("BUILDER", None),
        ("nginx:1.27", None),
        ("example.org/bulider", None),
        ("$X", None),
        ("base", None),
        ("bulider", Severity.WARNING),
        ("7", Severity.ERROR),
        ("final", Severity.ERROR),
        ("1", Severity.ERROR),
    ],
)
@pytest.mark.parametrize("form", ["COPY --from={} /a /a", "RUN --mount=type=bind,from={},target=/a b"])
def test_where_files_come_from(form: str, source: str, said: Severity | None) -> None:
    text = f"FROM a:1 AS builder\nRUN b\nFROM a:1 AS final\n{form.format(source)}\nUSER 1\n"
    assert [one.severity for one in found(text, "IF011")] == ([said] if said else [])


def test_a_default_that_names_no_image_matters_where_none_is_given() -> None:
    text = "ARG TAG\nFROM a:$TAG\nUSER 1\n"
    assert len(found(text, "IF021")) == 1
    assert found(text, "IF021", build_args={"TAG": "1"}) == []
    assert found("ARG TAG=1\nFROM a:$TAG\nUSER 1\n", "IF021") == []


def test_a_stage_that_is_not_built_is_left_alone() -> None:
    text = "FROM a:1 AS dev\nMAINTAINER a\nADD b.txt /b\nFROM a:1\nUSER 1\n"
    assert found(text, "IF004") == []
    assert len(found(text, "IF004", target="dev")) == 1


def test_every_problem_of_syntax_is_told_and_the_rest_is_checked() -> None:
    text = "FROM debian\nCOPPY a b\nUSER\nRUN apt-get install c\nEXPOSE 1 \\\n"
    assert [one.line for one in found(text, "IF002")] == [2, 3]
    assert [one.line for one in found(text, "IF201")] == [1]
    assert [one.rule for one in own_findings("ARG A=1\n")] == ["IF002"]
    assert [one.rule for one in own_findings("RUN a\nFROM\n")] == ["IF002", "IF002"]


def test_a_file_of_another_kind_is_told_once() -> None:
    prose = "# Notes\nIt is for teams\nwho have one\nmachine, which they own,\nhttps://it.example\n* and more\n"
    for text in (prose, prose + "FROM debian\nUSER 1\nCOPPY a b\n"):
        (only,) = [one for one in own_findings(text) if one.rule == "IF002"]
        assert (only.line, "this is no Dockerfile" in only.message) == (2, True)
    # One that was written as one, with whatever slips, has each of them named.
    slips = "FORM debian\nRUN a\nCOPPY b c\nRUUN d\nUSER 1\nCMD e\nEXPOSSE 1\n"
    assert len([one for one in own_findings(slips) if one.rule == "IF002"]) >= 4
    both = "FORM debian\nRUN apt-get install\n" + "  zlib\n" * 9
    assert len([one for one in own_findings(both) if one.rule == "IF002"]) > 9
    unfinished = "FROM debian\nRUN apt-get install\n" + "  curl\n" * 9
    assert len([one for one in own_findings(unfinished) if one.rule == "IF002"]) == 9

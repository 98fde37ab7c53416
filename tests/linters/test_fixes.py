"""The engine of fixes: over every page's examples, over made-up edits, and over files as they lie on a disk."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linters import DockerfileError, Finding, Job, Policy, Principle, Severity, own_findings, rules
from linters.dockerfile import parse, read_text
from linters.fixes import apply, fix
from linters.model import Edit
from linters.rewrite import rewrite
from tests.linters.test_pages import POLICIES

EXAMPLES = [
    pytest.param(rule.id, text, id=f"{rule.id}-{number}")
    for rule in rules()
    for number, text in enumerate(re.findall(r"```dockerfile\n(.*?)```", rule.page, re.DOTALL), start=1)
]


def look(text: str, policy: Policy | None = None) -> tuple[Finding, ...]:
    return own_findings(Job(dockerfile=Path("Dockerfile"), name="Dockerfile", text=text, policy=policy or Policy()))


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_a_mended_example_is_sound_and_is_mended_for_good(rule: str, text: str, unsafe: bool) -> None:
    policy = POLICIES.get(rule)
    fixed = fix(text, lambda one: look(one, policy), unsafe=unsafe)
    assert len(parse(fixed.text).problems) <= len(parse(text).problems)
    left = [one for one in look(fixed.text, policy) if one.edits and (one.safe or unsafe)]
    assert left == []
    assert fix(fixed.text, lambda one: look(one, policy), unsafe=unsafe).text == fixed.text


@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_a_safe_fix_of_an_example_rids_it_of_the_rule(rule: str, text: str) -> None:
    found = [one for one in look(text, POLICIES.get(rule)) if one.rule == rule]
    if not found or not all(one.edits and one.safe for one in found):
        return
    fixed = fix(text, lambda one: look(one, POLICIES.get(rule)))
    assert [one.rule for one in look(fixed.text, POLICIES.get(rule)) if one.rule == rule] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FROM a:1\nMAINTAINER Ann <a@b.c>  \nUSER 1\n", 'LABEL org.opencontainers.image.authors="Ann <a@b.c>"  \n'),
        ('FROM a:1\nmaintainer "Ann"\nUSER 1\n', 'LABEL org.opencontainers.image.authors="Ann"\n'),
        ("FROM a:1\nMAINTAINER Ann $X\nUSER 1\n", "MAINTAINER Ann $X\n"),
        ("FROM a:1\r\nADD --chown=1 a.txt \\\r\n  # why\r\n  /x/\r\nUSER 1\r\n", "COPY --chown=1 a.txt \\\r\n"),
        ("FROM a:1\nONBUILD ADD . /x\nUSER 1\n", "ONBUILD COPY . /x\n"),
        ("FROM a:1\nRUN apk update \\\n  && apk add x\nUSER 1\n", "RUN apk add --no-cache x\n"),
        ("FROM a:1\nRUN apk update && (apk add x)\nUSER 1\n", "apk update --no-cache && (apk add --no-cache x)\n"),
        ("FROM a:1\nRUN apk update && \\\n  # why\n  apk add x\nUSER 1\n", "# why\n  apk add x\n"),
        (
            "FROM a:1\nRUN a || apk update && apk add x\nUSER 1\n",
            "a || apk update --no-cache && apk add --no-cache x\n",
        ),
        ("FROM a:1\nRUN [ -f x ] && apk update; apk add x\nUSER 1\n", "apk update --no-cache; apk add --no-cache x\n"),
        ("FROM a:1\nRUN V=$(b) || apk update && apk add x\nUSER 1\n", "|| apk update --no-cache && apk add --no"),
        ("FROM a:1\nRUN apk update && apk add $(apk search x)\nUSER 1\n", "RUN apk update && apk add $(apk search x)"),
        ('FROM a:1\nRUN sh -c "apt-get update";\nRUN apt-get install -y x\nUSER 1\n', 'update";\nRUN apt-get'),
        ("FROM a:1\nRUN ! apk update && apk add x\nUSER 1\n", "! apk update --no-cache && apk add --no-cache x\n"),
        ("FROM a:1\nRUN if apk update; then apk add x; fi\nUSER 1\n", "if apk update --no-cache; then apk add --no"),
        ('FROM a:1\nRUN sh -c "apk update && apk add x"\nUSER 1\n', 'RUN sh -c "apk add --no-cache x"\n'),
        ("FROM a:1\nENV A  b c\nUSER 1\n", 'ENV A="b c"\n'),
        ("FROM a:1\nENV A b\nUSER 1\n", "ENV A=b\n"),
        ('FROM a:1\nLABEL a "b c"\nUSER 1\n', 'LABEL a="b c"\n'),
        ("FROM a:1\nENV A 'b' \"c\" d\nUSER 1\n", "ENV A 'b' \"c\" d\n"),
        ("FROM a:1\nENV A b \\\n  c\nUSER 1\n", 'ENV A="b \\\n  c"\n'),
        ("FROM a:1\nEXPOSE 80:8080/TCP 1/UDP\nUSER 1\n", "EXPOSE 8080/tcp 1/udp\n"),
        ("FROM --platform=$TARGETPLATFORM a:1 as Build\nUSER 1\n", "FROM a:1 AS build\n"),
        ("from a:1\nrun b\nUser 1\n", "user 1\n"),
    ],
)
def test_what_is_written(before: str, after: str) -> None:
    fixed = fix(before, look).text
    assert after in fixed
    assert len(parse(fixed).instructions) == len(parse(before).instructions)


def test_what_a_comment_ignores_is_not_mended() -> None:
    text = "FROM a:1\n# imageforge ignore=IF003 reason=somebody greps for it\nMAINTAINER Ann\nUSER 1\n"
    assert fix(text, look).text == text


def finding(*edits: Edit, safe: bool = True) -> Finding:
    return Finding(
        rule="IF999", severity=Severity.INFO, principle=Principle.GENERAL, message="m", file="f", line=1, edits=edits,
        safe=safe,
    )  # fmt: skip


def edit(start: int, end: int, text: str) -> Edit:
    return Edit(start=start, end=end, text=text)


BASE = "FROM a:1\nUSER 1\n"


def test_edits_that_touch_wait_for_their_turn() -> None:
    rounds = [(finding(edit(5, 8, "b:1")), finding(edit(5, 8, "c:1")), finding(edit(14, 15, "2"))), ()]
    fixed = fix(BASE, lambda _: rounds.pop(0))
    assert fixed.text == "FROM b:1\nUSER 2\n"
    assert len(fixed.applied) == 2


def test_edits_of_one_finding_go_together_or_not_at_all() -> None:
    outside = finding(edit(5, 8, "b:1"), edit(90, 91, "x"))
    across = finding(edit(5, 8, "b:1"), edit(6, 7, "x"))
    assert fix(BASE, lambda _: (outside, across)).text == BASE


def test_unsafe_ones_need_to_be_asked_for() -> None:
    one = finding(edit(14, 15, "2"), safe=False)
    assert fix(BASE, lambda text: (one,) if text == BASE else ()).text == BASE
    assert fix(BASE, lambda text: (one,) if text == BASE else (), unsafe=True).text == "FROM a:1\nUSER 2\n"


def test_an_edit_that_breaks_the_file_is_not_made_and_the_others_are() -> None:
    broken, sound = finding(edit(9, 13, "USRE")), finding(edit(14, 15, "2"))
    fixed = fix(BASE, lambda text: (broken, sound) if "USER 1" in text else (broken,))
    assert fixed.text == "FROM a:1\nUSER 2\n"


def test_rules_that_undo_each_other_come_to_an_end() -> None:
    there, back = finding(edit(14, 15, "2")), finding(edit(14, 15, "1"))
    fixed = fix(BASE, lambda text: (there,) if "USER 1" in text else (back,))
    assert fixed.text in (BASE, "FROM a:1\nUSER 2\n")


@given(
    st.text(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5), st.text(max_size=4)), max_size=6)
)
@settings(max_examples=80, deadline=None)
def test_what_lies_outside_of_edits_stays(text: str, raw: list[tuple[int, int, str]]) -> None:
    edits: list[Edit] = []
    at = -1
    for start, size, new in sorted(raw):
        if start > at and start + size <= len(text):
            edits.append(edit(start, start + size, new))
            at = start + size
    out = apply(text, edits)
    place = 0
    for one in edits:
        kept = text[place : one.start]
        assert out.startswith(kept + one.text)
        out = out[len(kept) + len(one.text) :]
        place = one.end
    assert out == text[place:]


def test_a_file_is_written_whole_with_its_mode_and_its_stray_bytes(tmp_path: Path) -> None:
    file, link = tmp_path / "Dockerfile", tmp_path / "link"
    file.write_bytes(b"\xef\xbb\xbfFROM a:1\r\nLABEL a b\xff\r\nUSER 1")
    file.chmod(0o640)
    link.symlink_to(file)
    before = read_text(link, subject="x")
    after = fix(before, look).text
    rewrite(link, before, after, subject="x")
    assert file.read_bytes() == b"\xef\xbb\xbfFROM a:1\r\nLABEL a=b\xff\r\nUSER 1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Dockerfile", "link"]


def test_what_somebody_else_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("theirs\n")
    with pytest.raises(DockerfileError) as caught:
        rewrite(file, "mine\n", "mended\n", subject="x")
    assert caught.value.code == "dockerfile-changed"
    assert file.read_text() == "theirs\n"


def test_a_folder_that_takes_no_file_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("one\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DockerfileError) as caught:
        rewrite(file, "one\n", "two\n", subject="x")
    assert caught.value.code == "dockerfile-unwritable"
    assert file.read_text() == "one\n"
    assert [one.name for one in tmp_path.iterdir()] == ["Dockerfile"]


def test_a_secret_is_in_no_edit() -> None:
    token = "ghp_" + "k3JvQ9xWm2ZtR8bYc5Ld" + "N7sHf4GpT6aEuX1i"
    found = look(f"FROM a:1\nENV API_TOKEN {token}\nUSER 1\n")
    assert any(one.rule == "IF018" for one in found)
    assert not any(token in str(replace(one)) for one in found)


_TOKENS = st.sampled_from(
    [
        *(
            "FROM",
            "from",
            "RUN",
            "COPY",
            "ADD",
            "ENV",
            "ARG",
            "LABEL",
            "EXPOSE",
            "WORKDIR",
            "USER",
            "CMD",
            "ENTRYPOINT",
        ),
        *("HEALTHCHECK", "VOLUME", "SHELL", "ONBUILD", "MAINTAINER", "as", "\n", "\n", "\n", "\\\n", "\\\n\n", "\r\n"),
        *("a", "b:1", "$A", "${A:-x}", "${", "$", '"', "'", "=", "a=b", "--from=x", "--platform=$TARGETPLATFORM"),
        *("<<EOF", "EOF\n", '["a","b"]', "[", "]", "# check=skip=all\n", "# hadolint ignore=DL3008\n", "80:80/TCP"),
        *(
            "http",
            "/x",
            "apt-get update && apt-get install -y curl",
            "&",
            "|",
            ";",
            "\t",
            "é",
            "\udcff",
            "scratch",
            "0",
        ),
    ]
)


@given(st.lists(_TOKENS, max_size=30).map(" ".join))
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_a_file_no_rule_fails_and_no_fix_breaks_it(text: str) -> None:
    try:
        fixed = fix(f"FROM a:1\n{text}", look, unsafe=True)
    except DockerfileError:
        return  # there is nothing in it
    assert len(parse(fixed.text).problems) <= len(parse(f"FROM a:1\n{text}").problems)

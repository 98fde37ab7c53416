"""Our parser against two others that follow BuildKit's: e2b's in Python, and, where it installs, BuildKit's own in Go.

Both accept what BuildKit's builder refuses only afterwards (an unknown flag, FROM behind ONBUILD, no FROM at all), so
only texts are compared in which our parser finds no fault; and what they refuse we must refuse.
"""

from __future__ import annotations

import re
from typing import Any

import e2b_dockerfile_utils as e2b
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linters.catalog import rules
from linters.dockerfile import Dockerfile, Instruction, parse

WORDS = st.sampled_from(
    [
        "a",
        "b:1",
        "x y",
        "'q r'",
        '"s"',
        "$V",
        "${V:-d}",
        "\\",
        "\\ ",
        "#",
        "# c",
        "&&",
        "é",
        "--",
        "<",
        "1<<2",
        '"<<EOF no"',
        "<<<x",
    ]
)
REST = st.lists(WORDS, max_size=4).map(" ".join)
FLAG = st.sampled_from(["", "--network=none ", "--mount=type=cache,target=/x ", '--security="insecure" '])
BODY = st.lists(st.sampled_from(["x", "\ty", "", "# c", "EOF ", " EOF", "a \\", "FROM z"]), max_size=4).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)
HEREDOC = st.tuples(st.sampled_from(["<<EOF", "<<-EOF", "<<'EOF'", '<<"EOF"', "0<<EOF", "3<<-EOF"]), REST, BODY).map(
    lambda parts: f"RUN {parts[0]} {parts[1]}\n{parts[2]}EOF\n"
)
TWO = st.tuples(BODY, BODY).map(lambda parts: f"COPY <<A <<B /x/\n{parts[0]}A\n{parts[1]}B\n")
INSTRUCTIONS = st.one_of(
    st.tuples(FLAG, REST).map(lambda parts: f"RUN {parts[0]}true {parts[1]}\n"),
    st.sampled_from(
        [
            'CMD ["a", "b c"]\n',
            "CMD ['a']\n",
            'CMD ["a" "b"]\n',
            'ENTRYPOINT [ "a\\u00e9" ]\n',
            "ENV A=1 B='x y' C=z\\ w\n",
            "ENV A b c\n",
            "LABEL a=b \\\n  c=d\n",
            "COPY --from=0 --chown=1:1 a b\n",
            'COPY ["a b", "c"]\n',
            "onbuild run x\n",
            "ONBUILD COPY --link a b\n",
            "EXPOSE 80/tcp 81\n",
            "STOPSIGNAL 9\n",
            "VOLUME /a /b\n",
            "SHELL [\"/bin/sh\", \"-c\"]\n",
            "HEALTHCHECK --interval=1s CMD x || y\n",
            "HEALTHCHECK NONE\n",
            "USER $U\n",
            "WORKDIR /a b\n",
            "ARG A=1 B\n",
        ]
    ),
    HEREDOC,
    TWO,
)  # fmt: skip
NOISE = st.sampled_from(["", "", "\n", "# c\n", "  # c\n", " \t\n"])
CONTINUED = st.sampled_from([" ", " ", " \\\n ", " \\\n# c\n ", " \\\n\n ", " \\ \n", " `\n "])


def _broken(line: str, where: str) -> str:
    """The instruction's first blank made a continuation."""
    return line.replace(" ", where, 1)


FILES = st.tuples(
    st.sampled_from(
        ["", "# syntax=docker/dockerfile:1\n", "# escape=`\n", "#escape = \\\n# check=skip=all\n", "# c\n"]
    ),
    st.lists(st.tuples(NOISE, INSTRUCTIONS, CONTINUED), max_size=6),
    st.booleans(),
).map(
    lambda parts: (
        parts[0]
        + "FROM a AS b\n"
        + "".join(noise + _broken(line, where) for noise, line, where in parts[1])[: None if parts[2] else -1]
    )
)


def mine(parsed: Dockerfile) -> list[tuple[Any, ...]]:
    return [
        (
            one.keyword,
            one.line,
            one.end_line,
            one.exec_form is not None,
            [] if one.keyword == "ONBUILD" else [flag.name for flag in one.flags],
            [] if one.keyword == "ONBUILD" else _heredocs(one),
        )
        for one in parsed.instructions
    ]


def _heredocs(one: Instruction) -> list[tuple[str, str, bool, bool]]:
    return [(here.name, here.body, here.strip_tabs, here.expand) for here in one.heredocs]


def theirs(text: str) -> list[tuple[Any, ...]]:
    """Of ONBUILD they keep neither flags nor heredocs."""
    return [
        (
            one.name.upper(),
            one.start_line,
            one.end_line,
            one.json,
            [re.split("[ =]", flag.removeprefix("--"), maxsplit=1)[0] for flag in one.flags],
            [(here.name, here.content, here.chomp, here.expand) for here in one.heredocs],
        )
        for one in e2b.parse_dockerfile_ast(text).instructions
    ]


def agree(text: str) -> bool:
    """Whether there was something to compare."""
    parsed = parse(text)
    try:
        found = theirs(text)
    except e2b.DockerfileSyntaxError:
        assert parsed.problems or "ONBUILD" in text.upper(), text
        return False
    if parsed.problems:
        return False
    assert mine(parsed) == found, text
    return True


def test_made_up_files() -> None:
    compared = 0

    @settings(max_examples=150, deadline=None)
    @given(FILES)
    def look(text: str) -> None:
        nonlocal compared
        compared += agree(text)

    look()
    assert compared > 40


def test_the_pages_examples() -> None:
    texts = [text for rule in rules() for text in re.findall(r"```dockerfile\n(.*?)```", rule.page, re.DOTALL)]
    assert sum(agree(text) for text in texts) > 50


def test_buildkits_own() -> None:
    """By name and lines: of heredocs the package keeps no bodies, and of ONBUILD no flags."""
    dockerfile = pytest.importorskip("dockerfile")
    compared = 0

    @settings(max_examples=100, deadline=None)
    @given(FILES)
    def look(text: str) -> None:
        nonlocal compared
        parsed = parse(text)
        if parsed.problems:
            return
        found = [(one.cmd.upper(), one.start_line, one.end_line, one.json) for one in dockerfile.parse_string(text)]
        assert [
            (one.keyword, one.line, one.end_line, one.exec_form is not None) for one in parsed.instructions
        ] == found
        compared += 1

    look()
    assert compared > 25

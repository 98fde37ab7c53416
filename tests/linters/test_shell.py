"""Shell text as simple commands."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linters.programs import shell_script, unwrap
from linters.shell import commands


def seen(script: str) -> list[tuple[str, str]]:
    return [(" ".join(command.argv), command.after) for command in commands(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (")(&&;;|", []),
        ("a 'open", [("a", "")]),
        ('a "open $(b', [("a", "")]),
        ("a && ) b; c", [("a", "&&"), ("b", ";"), ("c", "")]),
        ("a && b || c; d | e & f", [("a", "&&"), ("b", "||"), ("c", ";"), ("d", "|"), ("e", "&"), ("f", "")]),
        ("a 2>&1 >/x &>/y b", [("a b", "")]),
        ("a >&2 && b", [("a", "&&"), ("b", "")]),
        (">/x a b 2>/dev/null c | d", [("a b c", "|"), ("d", "")]),
        ("cat <<A b && c\n1\nA\nd", [("cat b", "&&"), ("c", ";"), ("d", "")]),
        ("f() { a && b; }; f x", [("a", "&&"), ("b", ";"), ("f x", "")]),
        ("[ -f x ] && [[ $a == b ]] || test c", [("[ -f x ]", "&&"), ("[[ $a == b ]]", "||"), ("test c", "")]),
        ("export A=1 B && unset C", [("export A=1 B", "&&"), ("unset C", "")]),
        ("é 'ü' && ö", [("é ü", "&&"), ("ö", "")]),
        ("a\nb \\\n&& c", [("a", ";"), ("b", "&&"), ("c", "")]),
        ("a <<<'b' c", [("a c", "")]),
        ("$(a) b", [("$(a) b", "")]),
        ("echo 'a & b' \"c && d\" e\\&f", [("echo a & b c && d e&f", "")]),
        ("A=1 B=2 run x", [("run x", "")]),
        ("if a; then b; else c; fi; d", [("a", ";"), ("b", ";"), ("c", ";"), ("d", "")]),
        ("for x in 1 2; do b $x; done", [("b $x", ";")]),
        ("(a; b) & c", [("a", ";"), ("b", "&"), ("c", "")]),
        ("{ a; b; } & c", [("a", ";"), ("b", "&"), ("c", "")]),
        ("a $(b & c) d", [("a $(b & c) d", "")]),
        ("a # b & c\nd", [("a", ";"), ("d", "")]),
        ("a \\\n b", [("a b", "")]),
        ("cat <<EOF >x\nrm & rm\nEOF\nb", [("cat", ";"), ("b", "")]),
        ("case $x in a) b ;; esac", [("b", ";;")]),
        ("while ! a; do b; done", [("a", ";"), ("b", ";")]),
        ("set -eux; a", [("set -eux", ";"), ("a", "")]),
    ],
)
def test_commands(script: str, expected: list[tuple[str, str]]) -> None:
    assert seen(script) == expected


def test_words_know_their_place() -> None:
    script = "  one && 'two words' three"
    for command in commands(script):
        for word in command.words:
            assert shlex.split(script[word.start : word.end]) == [word.text]


def test_what_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linters.shell.PATIENCE", 0.05)
    assert commands("x=(" * 40_000) == ()
    assert commands("a|" * 40_000) == ()
    assert len(commands("a;" * 20)) == 20


def test_text_that_is_none_has_its_places() -> None:
    script = "é \udc80x && ü"
    assert [(command.argv, command.start, command.end) for command in commands(script)] == [
        (("é", "\udc80x"), 0, 4),
        (("ü",), 8, 9),
    ]


@given(st.text(alphabet="ab '\"\\$(){}<>|&;#\n`=-EOF", max_size=60))
def test_any_text_ends(script: str) -> None:
    for command in commands(script):
        assert 0 <= command.start <= command.end <= len(script)


_WORDS = st.lists(st.text(alphabet="ab'\" $&;|\\#é", min_size=1, max_size=6), min_size=1, max_size=4)


@given(st.lists(_WORDS, min_size=1, max_size=4))
def test_quoted_words_come_back(lines: list[list[str]]) -> None:
    script = " && ".join(shlex.join(["run", *words]) for words in lines)
    assert [list(command.argv) for command in commands(script)] == [["run", *words] for words in lines]


@pytest.mark.parametrize(
    ("argv", "inner"),
    [
        ([], ()),
        (["tini", "--", "gosu", "app", "nginx", "-g", "x"], ("nginx", "-g", "x")),
        (["/usr/bin/dumb-init", "-v", "a"], ("a",)),
        (["exec", "a", "b"], ("a", "b")),
        (["env", "-u", "X", "A=1", "a"], ("a",)),
        (["sudo", "-u", "x", "-E", "a"], ("a",)),
        (["timeout", "-s", "KILL", "5", "a"], ("a",)),
        (["bundle", "exec", "foreman"], ("foreman",)),
        (["exec"], ()),
    ],
)
def test_unwrap(argv: list[str], inner: tuple[str, ...]) -> None:
    assert unwrap(argv) == inner


@pytest.mark.parametrize(
    ("argv", "index"),
    [
        (["sh", "-c", "x"], 2),
        (["/bin/bash", "-eo", "pipefail", "-c", "x"], 4),
        (["tini", "--", "sh", "-ec", "x"], 4),
        (["sh", "-c"], None),
        (["sh", "script.sh", "-c", "x"], None),
        (["python", "-c", "x"], None),
    ],
)
def test_shell_script(argv: list[str], index: int | None) -> None:
    assert shell_script(argv) == index

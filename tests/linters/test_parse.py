"""The parser against BuildKit's line grammar, bad input first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linters.dockerfile import Dockerfile, parse


def only(text: str) -> Dockerfile:
    parsed = parse(text)
    assert parsed.problems == ()
    return parsed


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("FROM a:1\nRNU x\n", 2, 1, "unknown instruction `RNU`, did you mean RUN?"),
        ("FROM a:1\n\x00\x01\n", 2, 1, "unknown instruction"),
        ("FROM\n", 1, 1, "FROM has no argument, expected an image"),
        ("FROM a b c d\n", 1, 6, "FROM takes an image, or an image AS a name"),
        ("FROM a:1 AS 1st\n", 1, 13, "`1st` is no name for a stage"),
        ("RUN true\n", 1, 1, "RUN stands before the first FROM"),
        ("ARG A=1\n", 1, 1, "the file has no FROM"),
        ("FROM a:1\nRUN\n", 2, 1, "RUN has no argument, expected a command"),
        ("FROM a:1\nCOPY x\n", 2, 6, "COPY has one argument"),
        ("FROM a:1\nCOPY\n", 2, 1, "COPY has no argument"),
        ('FROM a:1\nCOPY ["x"]\n', 2, 6, "COPY has one argument"),
        ("FROM a:1\nENV A=1 B\n", 2, 9, "`B` has no value"),
        ("FROM a:1\nENV A\n", 2, 5, "`A` has no value"),
        ("FROM a:1\nENV =x\n", 2, 5, "ENV has a blank name"),
        ("FROM a:1\nSHELL bash -c\n", 2, 7, "SHELL expects a JSON array"),
        ('FROM a:1\nCMD ["a", 1]\n', 2, 5, "CMD holds a JSON array with something else than strings"),
        ("FROM a:1\nHEALTHCHECK curl x\n", 2, 13, "HEALTHCHECK has `curl`, expected CMD or NONE"),
        ("FROM a:1\nHEALTHCHECK CMD\n", 2, 13, "HEALTHCHECK CMD has no command"),
        ("FROM a:1\nHEALTHCHECK NONE x\n", 2, 13, "HEALTHCHECK NONE takes no arguments"),
        ("FROM a:1\nCOPY --form=b x y\n", 2, 6, "COPY has no flag --form, did you mean --from?"),
        ("FROM a:1\nCOPY --from=b --from=c x y\n", 2, 15, "--from is given twice"),
        ("FROM a:1\nCOPY --chown x y\n", 2, 6, "--chown has no value"),
        ("FROM a:1\nCOPY --link=maybe x y\n", 2, 6, "expected true or false"),
        ("FROM a:1\nONBUILD FROM b\n", 2, 9, "FROM is not allowed behind ONBUILD"),
        ("FROM a:1\nONBUILD\n", 2, 1, "ONBUILD has no argument"),
        ("FROM a:1\nONBUILD COPY x\n", 2, 14, "COPY has one argument"),
        ("FROM a:1\nRUN <<EOF\necho\n", 2, 5, "heredoc <<EOF is never closed"),
        ("FROM a:1\nCOPY x <<EOF\nEOF\n", 2, 8, "COPY has a heredoc as destination"),
        ('FROM a:1\nVOLUME [""]\n', 2, 8, "VOLUME has an empty path"),
        ("# escape=x\nFROM a:1\n", 1, 1, "invalid escape directive `x`"),
        ("# syntax=a\n# syntax=b\nFROM a:1\n", 2, 1, "only one syntax directive"),
        ("FROM a:1\nRUN x \\\n  && y\nWORKDI /x\n", 4, 1, "unknown instruction `WORKDI`, did you mean WORKDIR?"),
    ],
)
def test_problems_have_their_place(text: str, line: int, column: int, said: str) -> None:
    first = parse(text).problems[0]
    assert (first.span.line, first.span.column) == (line, column)
    assert said in first.message


@pytest.mark.parametrize("line", ["FROM a:1  # the base", "ENV A=1 # why", "COPY --frm=b x y # z"])
def test_a_comment_behind_an_instruction_is_told_to_be_none(line: str) -> None:
    first = parse(f"FROM a:1\n{line}\n").problems[0]
    assert "a line of its own" in (first.hint or "")


def test_reading_goes_on_behind_a_problem() -> None:
    parsed = parse("FROM a:1\nRNU x\nCOPY y\nUSER 10001\n")
    assert [problem.span.line for problem in parsed.problems] == [2, 3]
    assert [one.keyword for one in parsed.instructions] == ["FROM", "RNU", "COPY", "USER"]


def test_continuations_skip_comments_and_blank_lines() -> None:
    run = only("FROM a:1\nRUN one \\\n# why\n\n   && two \\\n  # why not\n && three\nUSER 1\n").instructions[1]
    assert run.arguments == "one    && two  && three"
    assert (run.line, run.end_line) == (2, 7)
    position = run.logical.text.index("three")
    assert run.span(position, position + 5).line == 7
    assert run.span(position, position + 5).column == 5


def test_a_doubled_escape_does_not_continue_a_line() -> None:
    assert [one.keyword for one in only("FROM a:1\nRUN echo \\\\\nUSER 1\n").instructions] == ["FROM", "RUN", "USER"]


def test_blanks_behind_the_escape_still_continue() -> None:
    assert only("FROM a:1\nRUN a \\ \t\n b\n").instructions[1].arguments == "a  b"


def test_the_file_may_end_inside_a_continuation() -> None:
    assert only("FROM a:1\nRUN something \\").instructions[1].arguments == "something"


def test_escape_directive() -> None:
    parsed = only("# escape=`\nFROM a:1\nRUN dir `\n  c:\\\nUSER x\n")
    assert parsed.escape == "`"
    assert parsed.instructions[1].arguments == "dir   c:\\"


def test_directives_end_with_the_first_line_that_is_none() -> None:
    assert [one.name for one in only("# syntax=docker/dockerfile:1\n#check = skip=all\nFROM a:1\n").directives] == [
        "syntax",
        "check",
    ]
    assert only("\n# syntax=x\nFROM a:1\n").directives == ()
    assert only("# about this file\n# escape=`\nFROM a:1\n").escape == "\\"
    assert only("FROM a:1\n# escape=`\n").escape == "\\"


def test_byte_order_mark_and_crlf() -> None:
    parsed = only("\ufeff# syntax=x\r\nFROM a:1\r\nRUN one \\\r\n  two\r\nRUN <<EOF\r\nhi\r\nEOF\r\nUSER 1\r\n")
    assert parsed.directives[0].value == "x"
    assert [one.keyword for one in parsed.instructions] == ["FROM", "RUN", "RUN", "USER"]
    assert parsed.instructions[1].arguments == "one   two"


def test_keywords_in_any_case() -> None:
    assert [one.keyword for one in only("from a:1 as b\nRun x\n").instructions] == ["FROM", "RUN"]


def test_exec_form_and_what_only_looks_like_it() -> None:
    parsed = only('FROM a:1\nCMD [ "a", "b c" ]\nCMD [\'a\']\nCMD ["a"\nRUN ["x\\ty"]\nENTRYPOINT []\n')
    forms = [one.exec_form for one in parsed.instructions[1:]]
    assert forms == [("a", "b c"), None, None, ("x\ty",), ()]
    assert [word.text for word in parsed.instructions[1].words] == ['"a"', '"b c"']


def test_flags_with_quotes() -> None:
    copy = only('FROM a:1\nCOPY --chown="a b":c --link -- x y\n').instructions[1]
    assert [(flag.name, flag.value) for flag in copy.flags] == [("chown", "a b:c"), ("link", None)]
    assert copy.arguments == "x y"


def test_pairs() -> None:
    parsed = only('FROM a:1\nENV A=1 B="two words" C=\'x\' D=a\\ b\nENV OLD the whole rest\nARG N V=\nLABEL "a.b"=c\n')
    pairs = [[(pair.name, pair.value) for pair in one.assignments] for one in parsed.instructions[1:]]
    assert pairs == [
        [("A", "1"), ("B", '"two words"'), ("C", "'x'"), ("D", "a\\ b")],
        [("OLD", "the whole rest")],
        [("N", None), ("V", "")],
        [('"a.b"', "c")],
    ]


def test_heredocs() -> None:
    text = (
        "FROM a:1\n"
        "RUN <<EOF\nFROM nothing\nRUN nothing\nEOF\n"
        "COPY <<one <<-'two' /dest/\n1\none\n\t2 $X\n\ttwo\n"
        "RUN cat <<EOF > /x && 3<<OTHER y\na\nEOF\nb\nOTHER\n"
        "USER 1\n"
    )
    parsed = only(text)
    assert [one.keyword for one in parsed.instructions] == ["FROM", "RUN", "COPY", "RUN", "USER"]
    run, copy, both = parsed.instructions[1:4]
    assert run.heredocs[0].body == "FROM nothing\nRUN nothing\n"
    assert (run.line, run.end_line, run.heredocs[0].body_line) == (2, 5, 3)
    assert [(one.name, one.strip_tabs, one.expand, one.body) for one in copy.heredocs] == [
        ("one", False, True, "1\n"),
        ("two", True, False, "\t2 $X\n"),
    ]
    assert [one.name for one in both.heredocs] == ["EOF", "OTHER"]


@pytest.mark.parametrize(
    "line",
    ["RUN echo '<<EOF no'", "RUN echo $((1<<2))", "RUN cat <<<x", "RUN cat<<EOF", 'RUN ["cat", "<<EOF"]', "CMD <<EOF"],
)
def test_what_is_no_heredoc(line: str) -> None:
    parsed = only(f"FROM a:1\n{line}\nUSER 1\n")
    assert parsed.instructions[1].heredocs == ()
    assert parsed.instructions[-1].keyword == "USER"


def test_onbuild_holds_an_instruction() -> None:
    onbuild = only("FROM a:1\nONBUILD COPY --chown=1 <<EOF /x\nhi\nEOF\n").instructions[1]
    assert onbuild.trigger is not None
    assert onbuild.trigger.keyword == "COPY"
    assert onbuild.trigger.flags[0].value == "1"
    assert onbuild.trigger.heredocs[0].body == "hi\n"
    assert onbuild.span(onbuild.trigger.keyword_start, onbuild.trigger.keyword_end).column == 9


def test_comments_above_an_instruction() -> None:
    parsed = only("# far\n\n# near\n# nearer\nFROM a:1\n# inner\nUSER 1\n")
    assert [comment.text for comment in parsed.instructions[0].comments] == ["near", "nearer"]
    assert [comment.text for comment in parsed.instructions[1].comments] == ["inner"]


_PIECES = st.sampled_from(
    [
        *("FROM a", "RUN ", "COPY ", "ENV A=", "ONBUILD ", "HEALTHCHECK CMD ", "--", "--mount=", "<<EOF", "<<-'E'"),
        *("\n", "\\\n", "`\n", "\r\n", "\t", " ", "# x", "# escape=`\n", '["', '"]', "'", '"', "$", "{", "="),
        *("EOF", "\ufeff", "\udc80", "ü"),
    ]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=4)), max_size=30).map("".join))
def test_any_text_parses_and_nothing_is_lost(text: str) -> None:
    parsed = parse(text)
    assert parsed.mark + "".join(parsed.lines) == text
    previous_end = 0
    for instruction in parsed.instructions:
        assert previous_end < instruction.line <= instruction.end_line <= len(parsed.lines)
        previous_end = instruction.end_line
        for word in instruction.words:
            span = instruction.span(word.start, word.end)
            if span.line == span.end_line:
                assert parsed.line(span.line)[span.column - 1 : span.end_column - 1] == word.text
                start, end = parsed.stretch(span)
                assert text[start:end] == word.text

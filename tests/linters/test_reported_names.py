"""Names and lines of a stranger's: no report lets them speak to a terminal or to GitHub's runner."""

from pathlib import Path

import pytest

from linters import Job, check_all
from linters.reporters.github import github
from linters.reporters.markdown import markdown
from linters.reporters.table import table

NAMES = ["a\n::error::x.Dockerfile", "b\x1b[31m.Dockerfile", "c\u202e.Dockerfile", "d\r::warning::.Dockerfile"]
TEXTS = ["FROM debian\n", "FROM debian\n::stop-commands::x\n", "", "FROM debian\nRUN \x1b[31m sudo x\n"]


@pytest.mark.parametrize("text", TEXTS, ids=["one", "command", "empty", "escape"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_is_text(name: str, text: str) -> None:
    outcomes = check_all([Job(dockerfile=Path("Dockerfile"), name=name, text=text)])
    for said in (table(outcomes, colour=False), github(outcomes), markdown(outcomes)):
        assert "\x1b" not in said
        assert "\r" not in said
        assert "\u202e" not in said
    for said in (table(outcomes, colour=False), markdown(outcomes)):
        assert [line for line in said.split("\n") if line.strip().startswith("::")] == []
    assert all(line.startswith("::") and line.count("::") >= 2 for line in github(outcomes).split("\n"))

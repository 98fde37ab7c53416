from __future__ import annotations

import re
from pathlib import Path

import imageforge.sources
from imageforge import sources

FOLDER = Path(imageforge.sources.__file__).parent


def test_every_code_is_in_the_readme_and_no_other() -> None:
    code = re.compile(r"\b(?:archive|context|dockerignore|git)-[a-z]+(?:-[a-z]+)*")
    raised = {each for file in FOLDER.glob("*.py") for each in re.findall(rf'"({code.pattern})"', file.read_text())}
    table = {each for each in re.findall(rf"`({code.pattern})`", (FOLDER / "README.md").read_text())}
    assert raised == table


def test_every_verb_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text()
    verbs = [name for name in sources.__all__ if name[0].islower()]
    assert [name for name in verbs if f"`{name}(" not in text] == []

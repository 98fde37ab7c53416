"""The table of what holds: each line names a test that is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[1] / "runtime" / "README.md"
ROW = re.compile(r"^\| (?P<of>[A-Z]\w+) \| (?P<what>.+) \| (?P<file>test_\w+\.py)::(?P<test>test_\w+) \|$")
TOPICS = {
    "Deployments", "Restarts", "Probes", "Ends", "Services", "Environment", "Configuration", "Resources", "Security",
    "Jobs", "Autoscaling", "Manifests", "Balancing", "Ingress", "Namespaces",
}  # fmt: skip


@cache
def named_in(file: str) -> frozenset[str]:
    """The names of the tests of a file."""
    tree = ast.parse((HERE / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_each_line_of_the_table_names_a_test_that_is_there() -> None:
    _, _, section = README.read_text().partition("| of | what holds | test in tests/runtime/ |\n| --- | --- | --- |\n")
    lines = section.partition("\n\n")[0].splitlines()
    rows = [ROW.match(line) for line in lines]
    assert [line for line, row in zip(lines, rows, strict=True) if row is None] == []
    found = [row.groupdict() for row in rows if row]
    missing = [row for row in found if row["test"] not in named_in(row["file"])]
    assert missing == []
    assert {row["of"] for row in found} == TOPICS
    assert len({(row["of"], row["what"]) for row in found}) == len(found) > 100

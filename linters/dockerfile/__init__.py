"""Dockerfile text as instructions with places: BuildKit's line grammar, with recovery per instruction."""

from linters.dockerfile.model import (
    Assignment,
    Comment,
    Directive,
    Dockerfile,
    Flag,
    Heredoc,
    Instruction,
    Problem,
    Span,
    Word,
)
from linters.dockerfile.parse import parse
from linters.dockerfile.read import printable, read_text

__all__ = [
    "Assignment",
    "Comment",
    "Directive",
    "Dockerfile",
    "Flag",
    "Heredoc",
    "Instruction",
    "Problem",
    "Span",
    "Word",
    "parse",
    "printable",
    "read_text",
]

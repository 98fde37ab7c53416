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
from linters.dockerfile.read import LARGEST, decode, printable, read_text

__all__ = [
    "LARGEST",
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
    "decode",
    "parse",
    "printable",
    "read_text",
]

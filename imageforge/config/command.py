"""A command as imageforge.toml has it, one line of shell words, as the words that a container is started with."""

from __future__ import annotations

import re
import shlex

_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
"""What the shell takes as it stands."""
_SEVERAL = re.compile(r"[|&;()\n`]")
"""Operators that make more than one command of a line, or may."""
_EXPANDED = re.compile(r"[$*?\[\]{}~<>!#\\]")
"""What the shell expands, or redirects, in one command."""
_ASSIGNMENT = re.compile(r"\w+=")
_SHELLS_OWN = re.compile(
    r"\.|:|\[|!|alias|case|cd|eval|exec|exit|export|for|function|if|return|set|shift|source|trap|ulimit|umask|unset|until|"
    r"wait|while"
)
"""Words that begin something other than a program."""


def words(command: str) -> tuple[str, ...]:
    """The words of the container's command. Raises ValueError for a line that is empty or not closed.

    Plain words are the program and its arguments, and no shell is needed in the image. One command in which the shell
    has something to expand is ``sh -c "exec …"``, so that the program gets the signals. Anything else is ``sh -c`` as
    it stands: there the last command should begin with ``exec``.
    """
    try:
        plain = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"not a line of shell words: {str(error).lower()}") from error
    if not plain or "\0" in command:
        raise ValueError("expected a command, such as `python worker.py`")
    bare = _QUOTED.sub("", command)
    program = plain[0]
    if _SEVERAL.search(bare) or _SHELLS_OWN.fullmatch(program) or _ASSIGNMENT.match(program) or "\\" in bare:
        return ("sh", "-c", command)
    if _EXPANDED.search(bare) or '"' in bare:
        return ("sh", "-c", f"exec {command.strip()}")
    return tuple(plain)


def literal(word: str) -> str:
    """A word that Kubernetes does not expand: $(NAME) is the shell's there, and $$ its process."""
    return re.sub(r"\$(?=[$(])", "$$", word)

"""``$(VAR)`` in env, command and args, as Kubernetes expands it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each ``$(NAME)`` of a known name replaced; an unknown one stays as written.

    ``$$`` is a literal ``$`` (so ``$$(NAME)`` gives ``$(NAME)``), a lone ``$`` and an unclosed ``$(`` stay.
    """
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            out.append("$")
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at + 2)) != -1:
            name = text[at + 2 : end]
            out.append(variables.get(name, f"$({name})"))
            at = end + 1
        else:
            out.append(text[at : at + 2])
            at += 2
    return "".join(out)


def resolve(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The variables in order, each expanded with those declared before it; of two with one name the later wins."""
    variables: dict[str, str] = {}
    for name, value in pairs:
        variables[name] = expand(value, variables)
    return variables

"""Whatever a file is made of, no rule fails at it, and what a rule would change lies in the file and is apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linters import BaseConfig, DockerfileError
from linters.dockerfile import parse
from linters.fixes import apply
from tests.linters.judged import judged

_LINES = st.sampled_from(
    [
        *(
            "FROM a:1 AS s",
            "FROM s",
            "FROM scratch",
            "FROM golang:1",
            "ARG TOKEN",
            "ARG TOKEN=abc",
            "ENV DB_PASSWORD=x y=z",
        ),
        *("USER root", "USER app", "USER $U", "USER 0:0", "WORKDIR /app", "WORKDIR x", 'SHELL ["/bin/bash", "-c"]'),
        *(
            "COPY . /app",
            "COPY --from=s / /",
            "COPY a b c/",
            "COPY <<EOF /start.sh",
            "ADD https://x.example/a /a",
            "COPY $A $B",
        ),
        *(
            "RUN chown -R a:b /app",
            "RUN chmod -R 777 .",
            "RUN chmod +s",
            "RUN apt-get update",
            "RUN apt-get install -y gcc",
        ),
        *(
            "RUN apk update && apk add sudo nginx redis",
            "RUN useradd -u 5 app",
            "RUN useradd -p x",
            "RUN sudo x $TOKEN",
        ),
        *(
            "RUN echo root:x | chpasswd",
            "RUN curl -k https://x.example | sh",
            "RUN npm ci",
            "RUN rm -f /app/a",
            "RUN <<EOF",
        ),
        *(
            'RUN ["apk", "add", "x"]',
            'RUN ["sh", "-c", "pip install x"]',
            "RUN service x start",
            "RUN if a; then",
            "RUN (",
        ),
        *(
            "EXPOSE 22 80",
            "EXPOSE 22 \\",
            "VOLUME /app /data",
            "VOLUME []",
            "CMD a b",
            "CMD a & b",
            "CMD []",
            'CMD ["a b"]',
        ),
        *(
            'ENTRYPOINT ["/start.sh"]',
            "ENTRYPOINT x $Y",
            'ENTRYPOINT ["a", "&&", "b"]',
            "ONBUILD RUN sudo pip install x",
        ),
        *("ONBUILD COPY . /", "EOF", "# c", "", "\\", " && x \\", "'", '"', "$(", "`", "RUN x \\", "\tx", "# escape=`"),
    ]
)
_CONFIGS = st.sampled_from(
    [
        None,
        BaseConfig(),
        BaseConfig(user="app", env={"U": "0", "A": "."}, entrypoint=("/init",), cmd=("x",), workdir="/w"),
        BaseConfig(shell=("cmd",), triggers=("USER root",)),
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context with a little of everything."""
    made = tmp_path_factory.mktemp("context")
    for name, text in {
        "start.sh": "#!/bin/sh\nx &\ny &\nif a; then\n",
        "package.json": '{"scripts": {"start": "vite"}}',
        ".env": "TOKEN=abc\n",
        ".dockerignore": "b*\n!b/c\n",
    }.items():
        (made / name).write_text(text)
    return made


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(_LINES, max_size=14), config=_CONFIGS, end=st.sampled_from(["\n", "\r\n"]), squashed=st.booleans()
)
def test_rules_hold(folder: Path, lines: list[str], config: BaseConfig | None, end: str, squashed: bool) -> None:
    text = end.join(["FROM a:1", *lines, ""])
    try:
        found = judged(text, context=folder, bases=lambda _: config, squashed=squashed)
    except DockerfileError:
        return
    for one in found:
        edits = sorted(one.edits, key=lambda edit: (edit.start, edit.end))
        assert all(0 <= edit.start <= edit.end <= len(text) for edit in edits)
        assert all(before.end <= after.start for before, after in pairwise(edits))
        if one.edits and one.rule.startswith(("IF1", "IF2", "IF3", "IF4")):
            assert len(parse(apply(text, one.edits)).problems) <= len(parse(text).problems), one

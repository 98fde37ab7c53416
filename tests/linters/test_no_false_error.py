"""What good engineers write, and what once was called an error."""

from pathlib import Path

import pytest

from linters import Severity
from tests.linters.judged import judged

HEAD = "FROM debian:12\nUSER 10001\n"
ROOT = "FROM debian:12\nUSER root\n"


def errors(text: str, context: Path | None = None) -> set[str]:
    return {one.rule for one in judged(text, context=context) if one.severity is Severity.ERROR}


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "CMD command -v supervisord >/dev/null || exec app\n",
        'FROM mcr.microsoft.com/windows/servercore:ltsc2022\nENTRYPOINT ["C:\\\\Program Files\\\\node.exe", "a.js"]\n',
        HEAD + 'COPY ["My App", "/app/"]\nENTRYPOINT ["/app/My App"]\n',
        HEAD + 'ENTRYPOINT ["find"]\nCMD [".", "-exec", "ls", "{}", ";"]\n',
        HEAD + "CMD [ -d node_modules ] || (cd app && npm install); exec node a.js\n",
        HEAD + "CMD pip install --help\n",
        HEAD + "ENV TOKEN_ADDRESS=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\n",
        HEAD + "ENV TOKEN_PROVIDER_CLASS=org.apache.kafka.common.security.OAuth2Provider\n",
        HEAD + "CMD curl -ks -o out.json https://localhost:8443/x\n",
        HEAD + "RUN wget --no-check-certificate -O file.tar.gz http://10.0.0.1/x.tar.gz\n",
        HEAD + "RUN wget --no-check-certificate -O /f https://x.org/f\nRUN echo 'aa  /f' | sha256sum -c -\n",
        ROOT + 'COPY docker-entrypoint.sh /\nENTRYPOINT ["/sbin/tini", "--", "/docker-entrypoint.sh"]\nCMD ["app"]\n',
        ROOT + 'ENTRYPOINT ["/bin/bash", "/docker-entrypoint.sh"]\n',
        ROOT + "ENTRYPOINT exec /docker-entrypoint.sh\n",
        HEAD + "CMD trap 'kill $!; exit' TERM; app & wait $!\n",
    ],
)
def test_no_error(text: str) -> None:
    assert errors(text) == set()


@pytest.mark.parametrize(
    "script",
    [
        'chown -R app /data &\nchown -R app /cache &\nwait\nexec app "$@"\n',
        'case "$1" in\n web) nginx & ;;\n worker) celery & ;;\nesac\nwait\n',
        'if [ "$1" = web ]; then\n  nginx &\nelse\n  celery worker &\nfi\ntrap "kill $!" TERM\nwait $!\n',
        "[ -d node_modules ] || (cd /app && npm install)\nexec node x\n",
        '[ "$DEV" = 1 ] && echo dev && pip install -r dev.txt\nexec node x\n',
        "pip install --help\nexec node x\n",
        "if command -v supervisord; then echo x; fi\nexec app\n",
    ],
)
def test_no_error_in_a_start_script(script: str, tmp_path: Path) -> None:
    (tmp_path / "e.sh").write_text(f"#!/bin/sh\nset -e\n{script}")
    assert errors(HEAD + 'COPY e.sh /e.sh\nENTRYPOINT ["/e.sh"]\n', tmp_path) == set()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (HEAD + "CMD command supervisord\n", "IF101"),
        (HEAD + 'CMD ["npm start"]\n', "IF107"),
        (HEAD + 'ENTRYPOINT ["app"]\nCMD ["a", "&&", "b"]\n', "IF107"),
        (HEAD + "CMD npm install && exec node a.js\n", "IF206"),
        (HEAD + "CMD [ -d x ] || mkdir x; npm install; exec node a.js\n", "IF206"),
        (HEAD + "RUN curl -kO https://x.org/f.tar.gz\n", "IF212"),
        (HEAD + "RUN wget --no-check-certificate -O f.tar.gz https://x.org/f.tar.gz\n", "IF212"),
        (HEAD + "RUN echo 'aa  /f' | sha256sum -c -\nRUN curl -k https://x.org/f -o /f\n", "IF212"),
        (ROOT + 'ENTRYPOINT ["/sbin/tini", "--", "app"]\n', "IF401"),
        (HEAD + "CMD trap 'kill 0' TERM; app & other & wait\n", "IF102"),
        (HEAD + 'ENTRYPOINT ["tini", "-s", "supervisord"]\n', "IF101"),
        (HEAD + 'ENTRYPOINT ["tini", "-g", "-e", "143", "supervisord"]\n', "IF101"),
        (HEAD + "ONBUILD ENV GITHUB_TOKEN=ghp_" + "aB3dE6gH9" * 4 + "\n", "IF209"),
    ],
)
def test_an_error_as_before(text: str, rule: str) -> None:
    assert rule in errors(text)


def test_two_in_the_background_are_an_error_still(tmp_path: Path) -> None:
    (tmp_path / "e.sh").write_text("#!/bin/sh\nwait\nnginx &\ncelery &\nexec app\n")
    assert "IF109" in errors(HEAD + 'COPY e.sh /e.sh\nENTRYPOINT ["/e.sh"]\n', tmp_path)

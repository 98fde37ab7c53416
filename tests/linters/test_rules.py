"""What triggers each rule and what does not, beyond the examples of its page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from linters import Finding, Severity, check
from linters.check import own_findings


def found(text: str, rule: str) -> list[Finding]:
    return [one for one in own_findings(text) if one.rule == rule]


def of(line: str, rule: str) -> list[Finding]:
    """What `rule` says of one line in an otherwise harmless file."""
    return found(f"FROM debian:bookworm\nUSER 10001\n{line}\n", rule)


SILENT = [
    ("IF101", 'CMD ["pm2-runtime", "app.js"]'),
    ("IF101", 'CMD ["php-fpm"]'),
    ("IF101", 'CMD ["/app/init"]'),
    ("IF101", 'RUN supervisord --version\nCMD ["nginx"]'),
    ("IF101", 'CMD ["supervisord"]\nCMD ["nginx"]'),
    ("IF102", "CMD a 2>&1 && exec b"),
    ("IF102", "CMD a &> /x; exec b"),
    ("IF102", 'ENTRYPOINT ["/bin/sh", "-c", "exec a"]\nCMD ["a & exec b"]'),
    ("IF102", 'ENTRYPOINT ["tini", "--"]\nCMD ["a & exec b"]'),
    ("IF102", "CMD echo $(a & b) 'c & d'"),
    ("IF102", 'CMD ["python", "-c", "a & b"]'),
    ("IF102", "RUN service x start && seed && service x stop"),
    ("IF102", "HEALTHCHECK CMD a & b"),
    ("IF105", "EXPOSE 2222 8022 122"),
    ("IF105", "EXPOSE 22/udp"),
    ("IF105", "EXPOSE $UNKNOWN"),
    ("IF106", 'ENTRYPOINT ["e"]\nCMD a b'),
    ("IF106", "CMD set -e; migrate; exec a b"),
    ("IF106", 'SHELL ["powershell", "-c"]\nCMD Start-It'),
    ("IF107", 'CMD ["find", "/x", "-exec", "ls", ";"]'),
    ("IF107", 'CMD ["bash", "-c", "a && b"]'),
    ("IF107", 'CMD ["a", "b && c"]'),
    ("IF107", 'HEALTHCHECK CMD ["a", "&&", "b"]'),
    ("IF201", "COPY --from=0 /a /a"),
    ("IF201", "COPY --from=registry.example/x@sha256:1 /a /a"),
    ("IF201", "RUN --mount=type=bind,source=a,target=/a x"),
    ("IF203", "RUN apt-get update && yum -y update openssl"),
    ("IF203", "RUN dnf check-update"),
    ("IF206", "CMD npm run build && exec npm start"),
    ("IF206", "CMD git --version"),
    ("IF206", "CMD curl -f http://x | jq ."),
    ("IF206", "RUN pip install x"),
    ("IF209", "ENV POSTGRES_PASSWORD=password1234567890"),
    ("IF209", "ENV TOKENIZERS_PARALLELISM=8f14e45fceea167a5a36dedd4bea2543"),
    ("IF209", "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"),
    ("IF209", "ENV API_TOKEN=$BUILD_TOKEN_0123456789"),
    ("IF209", "ENV TOKEN_URL=https://a.example/0123456789abcdef"),
    ("IF209", "ENV SECRET_KEY_PATH=/etc/0123456789abcdef/key"),
    ("IF209", "ENV SHA256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("IF209", "ARG API_TOKEN=8f14e45fceea167a5a36dedd4bea2543"),  # no RUN behind it: it gets nowhere
    ("IF301", "RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y x"),
    ("IF301", "RUN --mount=type=tmpfs,target=/var/lib/apt/lists apt-get update"),
    ("IF301", "RUN apt-get update && x && rm -rf /var/lib/apt/lists"),
    ("IF301", "RUN apt-get update && x && rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/apt"),
    ("IF301", "RUN apt-get update && x && find /var/lib/apt/lists -type f -delete"),
    ("IF301", "RUN apt-get update && x && apt-get dist-clean"),
    ("IF301", "RUN apk add x && rm -rf /var/cache/apk/*"),
    ("IF301", "RUN dnf -y install x && dnf clean all"),
    ("IF301", "RUN PIP_NO_CACHE_DIR=1 pip install x"),
    ("IF301", "ARG PIP_NO_CACHE_DIR=1\nRUN python3 -m pip install x"),
    ("IF301", "RUN pip install x && rm -rf ~/.cache/pip && rm -rf /root/.cache"),
    ("IF301", "RUN --mount=type=cache,target=/home/app/.npm npm ci"),
    ("IF301", "RUN npm ci && npm cache clean --force"),
    ("IF301", "RUN yarn install && yarn cache clean"),
    ("IF301", "RUN echo apt-get update"),
    ("IF302", "RUN apt-get install -y gcc && make && apt-get purge -y --auto-remove gcc"),
    ("IF302", "RUN apk add --no-cache -t .b gcc && x && apk del --no-network .b"),
    ("IF302", "RUN apt-get install -y openssh-client libpq5 python3-venv"),
    ("IF302", "RUN pip install cmake"),
    ("IF305", "COPY . /app\nRUN rm -rf /app/x"),
    ("IF305", "COPY a.zip /tmp/\nRUN rm /tmp/b.zip"),
    ("IF305", "COPY a.zip $DEST/\nRUN rm /tmp/a.zip"),
    ("IF305", "ADD a.tar.gz /tmp/\nRUN rm /tmp/a.tar.gz"),
    ("IF305", "RUN rm /tmp/a\nCOPY a /tmp/a"),
    ("IF308", "RUN apt-get update && ./install.sh"),
    ("IF308", "RUN apt-get update && xargs apt-get install -y < list"),
    ("IF308", "RUN --mount=type=cache,target=/var/lib/apt/lists apt-get update"),
    ("IF401", "USER $WHO"),
    ("IF401", "USER rooter"),
    ("IF401", 'USER root\nENTRYPOINT ["tini", "--", "setpriv", "--reuid", "1", "a"]'),
    ("IF401", "USER root\nCMD exec su-exec app a"),
    ("IF403", "USER $WHO"),
    ("IF403", "USER 1000:group"),
    ("IF404", "RUN echo sudo"),
    ("IF301", 'RUN bash -c "apt-get update" && rm -rf /var/lib/apt/lists/*'),
    ("IF301", 'RUN bash -c "apt-get update && rm -rf /var/lib/apt/lists/*"'),
    ("IF404", "RUN apt-get install -y sudo-ldap"),
    ("IF301", 'RUN PIP_NO_CACHE_DIR=1 bash -c "pip install x"'),
    ("IF301", 'RUN sudo sh -c "apt-get update && rm -rf /var/lib/apt/lists/*"'),
    ("IF101", 'CMD ["python3", "-m", "gunicorn", "honcho"]'),
    ("IF101", 'CMD ["python3", "honcho.py", "-m", "honcho"]'),
    ("IF101", 'CMD ["python3", "-X", "-m", "honcho"]'),
    ("IF301", "RUN sudo -u app sh -c 'apt-get update'"),
]

LOUD = [
    ("IF101", 'CMD ["/init"]', 3),
    ("IF101", 'ENTRYPOINT ["tini", "--"]\nCMD ["supervisord"]', 4),
    ("IF101", "ENTRYPOINT exec /usr/bin/foreman start", 3),
    ("IF101", 'CMD ["bundle", "exec", "foreman", "start"]', 3),
    ("IF101", 'CMD ["python3.12", "-m", "honcho", "start"]', 3),
    ("IF101", "CMD migrate && exec /venv/bin/python -m honcho start", 3),
    ("IF101", 'CMD ["python3", "-u", "-X", "dev", "-m", "honcho", "start"]', 3),
    ("IF101", "CMD migrate && supervisord -n", 3),
    ("IF102", 'CMD ["bash", "-c", "a & wait"]', 3),
    ("IF102", 'ENTRYPOINT ["/bin/sh", "-c"]\nCMD ["a & exec b"]', 4),
    ("IF102", 'CMD bash -c "a & exec b"', 3),
    ("IF102", 'CMD bash -c "a" &', 3),
    ("IF404", 'RUN sudo sh -c "echo a > /etc/b"', 3),
    ("IF102", "CMD bash -c 'a & exec \\'b\\''", 3),
    ("IF102", "CMD /etc/init.d/nginx start && exec a", 3),
    ("IF102", "CMD (while true; do x; done) & exec a", 3),
    ("IF102", "CMD nohup a &", 3),
    ("IF105", "EXPOSE 80 22", 3),
    ("IF105", "ENV P=22\nEXPOSE $P", 4),
    ("IF106", "ENTRYPOINT a b", 3),
    ("IF106", "CMD cd /app && a", 3),
    ("IF107", 'CMD ["a", "|", "b"]', 3),
    ("IF107", 'ENTRYPOINT ["python app.py"]\nCMD ["x"]', 3),
    ("IF201", "RUN --mount=from=busybox,target=/b x", 3),
    ("IF201", "COPY --from=x:latest /a /a", 3),
    ("IF203", "RUN apt-get -y full-upgrade", 3),
    ("IF203", "RUN <<EOF\nset -e\nyum -y update\nEOF", 5),
    ("IF206", 'CMD ["sh", "-c", "git pull && exec a"]', 3),
    ("IF206", "CMD bundle install && exec a", 3),
    ("IF206", 'CMD ["python3", "-m", "pip", "install", "x"]', 3),
    ("IF206", "CMD wget -qO- https://x | bash", 3),
    ("IF209", "ARG API_TOKEN=8f14e45fceea167a5a36dedd4bea2543\nRUN x", 3),
    ("IF209", 'ENV AWS="AKIAIOSFODNN7ABCDEFG"', 3),
    ("IF209", "LABEL k=glpat-0123456789abcdefghij", 3),
    ("IF209", "ENV DB_PASSWORD='k8Zt2Qx9Lm4Vb7Nc'", 3),
    ("IF301", "RUN apt-get update && rm -rf /var/lib/apt/lists/* && apt-get update && x", 3),
    ("IF301", "RUN --mount=type=bind,source=x,target=/var/lib/apt/lists apt-get update", 3),
    ("IF301", "RUN --mount=type=cache,target=/var/cache/apt apt-get update && apt-get install -y x", 3),
    ("IF301", "RUN bash -ex <<EOF\napt-get update\nEOF", 4),
    ("IF301", "RUN (apt-get update; x)", 3),
    ("IF301", 'RUN bash -o pipefail -c "apt-get update | x"', 3),
    ("IF301", "RUN sudo -E apt-get update", 3),
    ("IF301", "RUN time apt-get update", 3),
    ("IF301", "RUN time -p apt-get update", 3),
    ("IF301", 'RUN time -o /t -f "x y" apt-get update', 3),
    ("IF301", 'RUN sudo -E sh -c "apt-get update"', 3),
    ("IF301", 'RUN sudo sh -c "apt-get update"', 3),
    ("IF301", 'RUN A=1 B="2 3" bash -c "apt-get update"', 3),
    ("IF302", "RUN apt-get install -y gcc=4:12.2 python3-dev:amd64", 3),
    ("IF302", "RUN apk add --no-cache build-base", 3),
    ("IF302", "RUN apt-get install -y gcc make && apt-get remove -y make", 3),
    ("IF305", "COPY --from=x:1 /a.zip /tmp/\nRUN unzip /tmp/a.zip && rm -f /tmp/*.zip", 4),
    ("IF305", "WORKDIR /w\nCOPY a.whl .\nRUN cd /w && rm a.whl", 5),
    ("IF305", "ADD https://x/a.tar.gz /tmp/a.tar.gz\nRUN rm /tmp/a.tar.gz", 4),
    ("IF308", "RUN apt-get update && apt-get clean", 3),
    ("IF308", "RUN <<EOF\nset -e\napt-get update\nEOF", 5),
    ("IF401", "USER ROOT:wheel", 3),
    ("IF403", "USER app", 3),
    ("IF404", "RUN <<EOF\nsudo x\nEOF", 4),
    ("IF404", 'CMD ["sudo", "a"]', 3),
]


@pytest.mark.parametrize(("rule", "line"), SILENT)
def test_silent(rule: str, line: str) -> None:
    assert of(line, rule) == []


@pytest.mark.parametrize(("rule", "line", "number"), LOUD)
def test_loud(rule: str, line: str, number: int) -> None:
    assert [one.line for one in of(line, rule)] == [number]


def test_columns_point_at_the_words() -> None:
    text = 'FROM a:1\nUSER 1\nENTRYPOINT ["tini",\\\n   "--",  "supervisord"]\n'
    (one,) = found(text, "IF101")
    assert (one.line, one.column, one.end_column) == (4, 11, 24)
    assert one.excerpt[one.column - 1 : 23] == '"supervisord"'


def test_what_cannot_be_told_is_never_an_error() -> None:
    text = "ARG B\nFROM ${B}\nARG U\nUSER ${U}\nEXPOSE ${P}\nCOPY --from=${S} ${A} ${C}\nCMD ${D}\n"
    assert [one for one in own_findings(text) if one.severity is Severity.ERROR] == []
    assert [one.severity for one in found(text, "IF201")] == [Severity.INFO, Severity.INFO]


def test_unused_stages_are_not_judged() -> None:
    text = "FROM debian AS old\nRUN apt-get update\nFROM a@sha256:1\nUSER 1\n"
    assert own_findings(text) == ()


def test_build_stages_may_hold_tools_and_run_as_root() -> None:
    text = (
        "FROM a@sha256:1 AS build\nUSER root\nRUN apk add gcc && sudo apt-get update\nEXPOSE 22\nCMD a &\n"
        "FROM b@sha256:1\nCOPY --from=build /a /a\nUSER 1\n"
    )
    assert own_findings(text) == ()


def test_a_start_script_may_change_the_user() -> None:
    text = 'FROM a:1\nUSER root\nENTRYPOINT ["/docker-entrypoint.sh"]\n'
    assert [one.severity for one in found(text, "IF401")] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("base", "severity"),
    [
        ("gcr.io/distroless/static-debian12:nonroot", Severity.INFO),
        ("nginxinc/nginx-unprivileged:1.27", Severity.INFO),
        ("scratch", Severity.WARNING),
        ("alpine:3.20", Severity.WARNING),
    ],
)
def test_missing_user_by_base(base: str, severity: Severity) -> None:
    assert [one.severity for one in found(f"FROM {base}\nCOPY a /a\n", "IF402")] == [severity]


def test_windows_files_are_left_alone() -> None:
    text = (
        "# escape=`\nFROM mcr.microsoft.com/windows/servercore:ltsc2022@sha256:1\nRUN dir `\n  c:\\\nCMD start a & b\n"
    )
    assert own_findings(text) == ()


def test_target_and_build_args_change_the_verdict() -> None:
    text = "ARG B=debian\nFROM ${B} AS base\nUSER 1\nFROM base AS web\nCMD a &\nFROM base AS worker\nCMD exec b\n"
    path = Path("Dockerfile")
    assert {one.rule for one in check(path, text=text).findings} == {"IF201"}
    assert {one.rule for one in check(path, text=text, target="web").findings} == {"IF201", "IF102", "IF106"}
    assert check(path, text=text, build_args={"B": "debian@sha256:1"}).findings == ()


@pytest.mark.parametrize(
    "lines",
    [
        [f"COPY f{number} /tmp/" for number in range(990)] + [f"RUN rm /tmp/g{number}" for number in range(990)],
        ["RUN " + "apt-get install -y gcc; " * 3000],
        ["RUN " + "apt-get update; rm x; " * 3000],
        ["CMD " + "a & " * 20_000],
        [f"FROM s{number} AS s{number + 1}" for number in range(1990)],
        ["ENV A=" + "${A:-" * 20_000 + "}" * 20_000],
        ["RUN " + "$(" * 20_000],
        ["# imageforge ignore=IF101 reason=" + " " * 100_000 + "x"],
        ["RUN echo \\ \\ " + " " * 100_000 + "x"],
    ],
    ids=["copy-rm", "installs", "updates", "background", "stages", "nested", "substitution", "ignore", "blanks"],
)
def test_hostile_files_end_soon(lines: list[str]) -> None:
    started = time.process_time()
    own_findings("FROM a:1 AS s0\nUSER 1\n" + "\n".join(lines) + "\n")
    assert time.process_time() - started < 15

"""Triggers and non-triggers of the rules, principle by principle, beyond the examples of their pages."""

from __future__ import annotations

import pytest

from linters import Finding, Severity
from tests.linters.judged import judged

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
HEX = "8f14e45fceea167a5a36dedd4bea2543"


def of(lines: str, rule: str) -> list[Finding]:
    """What `rule` says of some lines in an otherwise harmless file."""
    return [one for one in judged(f"FROM debian:bookworm@sha256:1\nUSER 10001\n{lines}\n") if one.rule == rule]


SILENT = [
    # one process
    ("IF101", 'COPY --from=x:1 /build/init /init\nENTRYPOINT ["/init"]'),
    ("IF107", 'CMD ["kcat", "-b", "x", "-K", "|"]'),
    ("IF107", 'CMD ["watch", "a", "|", "b"]'),
    ("IF212", "RUN <<EOF python3\ncurl -k https://example.org/x -o x\nEOF"),
    ("IF212", "RUN python3 - <<EOF\ncurl -k https://example.org/x -o x\nEOF"),
    ("IF212", "RUN <<EOF\n#!/usr/bin/env pwsh\ncurl -k https://example.org/x -o x\nEOF"),
    ("IF212", "COPY <<EOF /x\ncurl -k https://example.org/x -o x\nEOF"),
    ("IF212", 'SHELL ["pwsh", "-Command"]\nRUN curl -k https://example.org/x'),
    ("IF207", 'RUN ["curl", "https://example.org/x", "|", "sh"]'),
    ("IF103", "RUN service mysql start && mysql < /seed.sql && service mysql stop"),
    ("IF103", "RUN service postgresql start && createdb shop"),
    ("IF103", "RUN systemctl disable x"),
    ("IF103", 'RUN systemctl enable nginx\nCMD ["/sbin/init"]'),
    ("IF103", "RUN echo service x start"),
    ("IF104", "RUN apt-get install -y openssh-client cronutils"),
    ("IF104", "RUN apk add --no-cache openssh"),
    ("IF104", "RUN apt-get install -y cron && apt-get purge -y cron"),
    ("IF104", 'RUN apt-get install -y cron\nCMD ["cron", "-f"]'),
    ("IF104", 'RUN apt-get install -y openssh-server\nCMD ["/usr/sbin/sshd", "-D"]'),
    ("IF104", "RUN pip install cron"),
    ("IF104", "RUN npm install -g supervisor"),
    ("IF108", "RUN apt-get install -y nginx"),
    ("IF108", "RUN apt-get install -y nginx libnginx-mod-http-lua apache2-utils"),
    ("IF108", "RUN apt-get install -y nginx default-mysql-client postgresql-client-15 redis-tools"),
    ("IF108", "RUN dnf install -y nginx postgresql mariadb mysql"),
    ("IF108", "RUN apt-get install -y nginx postgresql && apt-get purge -y postgresql"),
    ("IF108", "RUN pip install redis nginx"),
    # immutable
    ("IF202", "COPY --from=busybox@sha256:1 /a /a"),
    ("IF202", "COPY --from=busybox /a /a"),  # IF201's
    ("IF204", "RUN mkdir /data\nVOLUME /data"),
    ("IF204", "VOLUME /data\nCOPY x /database/"),
    ("IF204", "VOLUME /data\nCOPY x $DEST"),
    ("IF204", "VOLUME $WHERE\nCOPY x /data"),
    ("IF204", "VOLUME /data\nRUN cp /data/x /srv/ && ls /data"),
    ("IF204", "VOLUME /data\nRUN cp /data/x $DEST"),
    ("IF205", "WORKDIR /app\nCOPY . .\nVOLUME /app/data"),
    ("IF205", "VOLUME /var/lib/mysql /tmp /etc/nginx/conf.d"),
    ("IF205", "WORKDIR /data\nVOLUME /data"),
    ("IF206", 'ENTRYPOINT ["yarn"]'),
    ("IF206", 'ENTRYPOINT ["yarn"]\nCMD ["start"]'),
    ("IF209", "ENV GITHUB_TOKEN_SHA256=8f14e45fceea167a5a36dedd4bea2543"),
    ("IF209", "ENV SECRET_KEY_BASE=abcdefgh12345678abcdefgh"),
    ("IF209", "RUN grep -q -- '-----BEGIN RSA PRIVATE KEY-----' /k"),
    ("IF209", "RUN echo AKIAIOSFODNN7EXAMPLE ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("IF207", "ADD https://github.com/example/x.git#v1.2.3 /x"),
    ("IF207", "ADD https://github.com/example/x.git#0123456789abcdef0123456789abcdef01234567:sub /x"),
    ("IF207", "ADD x.tar.gz /x"),
    ("IF207", "RUN curl -fsSL https://example.org/x.tar.gz | tar xz"),
    ("IF207", "RUN curl -fsSL https://example.org/key.asc | gpg --dearmor > /k"),
    ("IF207", "RUN curl -fsSLO https://example.org/x && echo 'a  x' | sha256sum -c && sh x"),
    ("IF207", "RUN echo curl | sh"),
    ("IF207", "RUN curl https://x.example/a; ls | sh"),
    ("IF208", 'CMD ["uvicorn", "a:b"]'),
    ("IF208", 'CMD ["npm", "run", "start:prod"]'),
    ("IF208", 'CMD ["npm", "start"]'),
    ("IF208", 'CMD ["vite", "preview"]'),
    ("IF208", 'CMD ["node", "server.js", "--dev-tools=off"]'),
    ("IF208", 'CMD ["flask", "run"]'),
    ("IF208", "RUN npm run dev"),
    ("IF208", 'CMD ["next", "start"]'),
    ("IF208", 'CMD ["yarn"]'),
    ("IF210", "ENV DB_PASSWORD="),
    ("IF210", 'ENV DB_PASSWORD=""'),
    ("IF210", "ENV DB_PASSWORD=$OTHER"),
    ("IF210", "ENV DB_PASSWORD_FILE=/run/secrets/x TOKEN_URL=https://a.example"),
    ("IF210", "ENV TOKENIZERS_PARALLELISM=false ALLOW_EMPTY_PASSWORD=yes PASSWORD_MIN_LENGTH=12"),
    ("IF210", "ENV GPG_KEY=A035C8C1 KEYRING=/usr/share/keyrings/x.gpg PUBLIC_KEY=abc"),
    ("IF210", "ENV SECRET_KEY=/run/secrets/key"),
    ("IF210", "ENV OLDPWD=/root PWD=x"),
    ("IF210", "ARG TOKEN"),  # nothing uses it
    ("IF210", "ARG TOKEN\nRUN --mount=type=secret,id=TOKEN x"),
    ("IF210", "ARG TOKEN\nRUN echo $TOKENS"),
    ("IF210", f"ENV API_TOKEN={HEX}"),  # IF209's
    ("IF212", "RUN curl -fsSL https://example.org/k -o /k"),
    ("IF212", "RUN curl -kfs https://localhost:8443/ && curl --insecure https://127.0.0.1/"),
    ("IF212", "RUN curl -o k https://example.org/k"),
    ("IF212", "RUN curl -H k -fsSLok https://example.org/k"),
    ("IF212", "RUN wget --no-check-certificate http://example.org/k"),
    ("IF212", "RUN curl -k https://example.org/k -o k && echo 'a  k' | sha256sum -c"),
    ("IF212", "RUN pip install --trusted-host localhost x"),
    ("IF212", "RUN echo wget --no-check-certificate"),
    ("IF212", "ENV GIT_SSL_NO_VERIFY=0 NODE_TLS_REJECT_UNAUTHORIZED=1"),
    ("IF212", "ENV NODE_TLS_REJECT_UNAUTHORIZED=$X"),
    ("IF212", "ARG GIT_SSL_NO_VERIFY"),
    ("IF212", "ENV GIT_SSL_NO_VERIFY=0\nARG GIT_SSL_NO_VERIFY=1\nRUN git clone https://example.org/x"),
    ("IF212", "RUN git clone https://example.org/x\nARG GIT_SSL_NO_VERIFY=1"),
    ("IF212", "ARG NPM_CONFIG_STRICT_SSL=false\nRUN NPM_CONFIG_STRICT_SSL=true npm ci"),
    ("IF212", 'RUN GIT_SSL_NO_VERIFY=1 sh -c "GIT_SSL_NO_VERIFY=0 git clone https://example.org/x"'),
    ("IF212", "ARG GIT_SSL_NO_VERIFY=0 NODE_TLS_REJECT_UNAUTHORIZED"),
    ("IF212", "RUN git config --global http.sslVerify true"),
    ("IF212", "HEALTHCHECK CMD curl -k https://example.org"),
    # lightweight
    ("IF302", 'RUN apt-get install -y gcc make\nCMD ["bash"]'),
    ("IF302", 'RUN apt-get install -y gcc\nENTRYPOINT ["gcc"]'),
    ("IF303", 'CMD ["go", "run", "."]'),
    ("IF304", "COPY a /app\nRUN chown -R 1 /data"),
    ("IF304", "COPY a /app\nRUN chown 1 /app/a"),
    ("IF304", "COPY --chown=1 a /app\nRUN chown -R 1 /app"),
    ("IF304", "COPY a $DEST\nRUN chown -R 1 /app"),
    ("IF304", "COPY a /app\nRUN chown -R 1 $HOME"),
    ("IF304", "RUN mkdir /app && chown -R 1 /app\nCOPY a /app"),
    ("IF304", "COPY --chmod=755 a /app/\nRUN chmod -R 755 /app"),
    ("IF304", "COPY a /app\nRUN chown -R 1 /app/cache"),
    ("IF307", "RUN apt-get install -y --no-install-recommends x"),
    ("IF307", "RUN apt-get -o APT::Install-Recommends=false install x"),
    ("IF307", "RUN apt-get update"),
    ("IF307", "RUN yum install x"),
    ("IF309", "RUN npm ci --omit=dev"),
    ("IF309", "RUN npm install -g yarn"),
    ("IF309", "RUN npm install express"),
    ("IF309", "RUN NODE_ENV=production npm ci"),
    ("IF309", "RUN npm ci && npm run build && npm prune --omit=dev"),
    ("IF309", "RUN npm ci\nRUN npm run build"),
    ("IF309", "RUN composer install --no-dev --prefer-dist"),
    ("IF309", "RUN bundle config set without development && bundle install"),
    ("IF309", "RUN uv sync --frozen --no-dev"),
    ("IF309", 'RUN yarn install\nCMD ["yarn", "dev"]'),  # IF208's
    # non-root
    ("IF405", "RUN chmod -R 755 /app && chmod -R 1777 /tmp/x"),
    ("IF405", "RUN chmod 777 /data"),
    ("IF405", "RUN chmod -R a+rX,u+w /app"),
    ("IF405", "RUN chmod -R $MODE /app"),
    ("IF405", "RUN chmod +x /entrypoint.sh"),
    ("IF406", "RUN chmod 2775 /data && chmod g+s /data && chmod 0755 /x"),
    ("IF406", "RUN chmod u-s /bin/su && chmod a-s /x"),
    ("IF406", "COPY --chmod=755 a /a"),
    ("IF407", "RUN passwd -l root && passwd -d app"),
    ("IF407", "RUN usermod -p '*' root"),
    ("IF407", 'RUN echo "root:$PASSWORD" | chpasswd'),
    ("IF407", "RUN echo root:${PW} | chpasswd"),
    ("IF407", "RUN cat /run/secrets/x | chpasswd"),
    ("IF407", 'RUN useradd -p "$HASH" app'),
    ("IF407", "RUN useradd -m -s /bin/bash app"),
    ("IF407", "RUN mkdir -p /x && usermod -aG docker app"),
    ("IF412", 'ENTRYPOINT ["gosu", "app", "x"]'),  # USER 10001 before it
]

LOUD = [
    ("IF103", "RUN /etc/init.d/nginx start", 3, 5, INFO),
    ("IF103", "RUN a && service redis-server start && sleep 2", 3, 10, INFO),
    ("IF104", "RUN apt-get update && apt-get install -y curl dropbear=1", 3, 47, WARNING),
    ("IF104", 'RUN ["apt-get", "install", "-y", "cron"]', 3, 34, WARNING),
    ("IF203", 'RUN ["/usr/bin/apt-get", "-y", "dist-upgrade"]', 3, 6, INFO),
    ("IF212", 'RUN ["curl", "-k", "https://example.org/x", "-o", "x"]', 3, 6, ERROR),
    ("IF212", "RUN <<EOF bash\ncurl -k https://example.org/x -o x\nEOF", 4, 1, ERROR),
    ("IF212", "RUN <<-'EOF' /bin/bash -e\n\tcurl -k https://example.org/x -o x\n\tEOF", 4, 2, ERROR),
    ("IF104", "RUN yum install -y rsyslog", 3, 20, WARNING),
    ("IF104", "RUN apk add --no-cache dcron", 3, 24, WARNING),
    ("IF105", 'RUN apt-get install -y openssh-server\nEXPOSE 22\nCMD ["a"]', 4, 8, ERROR),
    ("IF105", "RUN apt-get install -y openssh-server\nEXPOSE 22", 4, 8, WARNING),  # the base may start it
    ("IF105", 'RUN apt-get install -y openssh-server\nEXPOSE 22\nCMD ["/start.sh"]', 4, 8, WARNING),
    ("IF108", "RUN apt-get install -y nginx php8.2-fpm", 3, 30, INFO),
    ("IF108", "RUN apk add --no-cache nginx\nRUN apk add --no-cache redis", 4, 24, WARNING),
    ("IF108", "RUN apt-get install -y apache2 postgresql-15 memcached", 3, 46, WARNING),
    ("IF101", 'COPY etc /etc\nENTRYPOINT ["/init"]', 4, 13, ERROR),
    ("IF107", 'CMD ["npm", "run", "build", "--", "--prod", "&&", "x"]', 3, 45, ERROR),
    ("IF107", 'ENTRYPOINT ["/entrypoint.sh"]\nCMD ["a", "&&", "b"]', 4, 11, WARNING),
    ("IF201", "COPY --from=assets / /", 3, 6, WARNING),
    ("IF201", "COPY --from=__BASE__ /a /a", 3, 6, INFO),
    ("IF201", "COPY --from=%%IMAGE%% /a /a", 3, 6, INFO),
    ("IF201", "COPY --from=registry.example:5000/Team/x /a /a", 3, 6, INFO),
    ("IF201", "COPY --from=localhost:5000/x /a /a", 3, 6, ERROR),
    ("IF206", 'CMD ["yarn"]', 3, 6, ERROR),
    ("IF202", "COPY --from=busybox:1 /a /a", 3, 6, INFO),
    ("IF204", "VOLUME /data\nADD x.tar /data/sub", 4, 11, WARNING),
    ("IF204", 'WORKDIR /data\nVOLUME ["/data"]\nRUN cd /data && touch x', 5, 17, WARNING),
    ("IF205", "VOLUME /sys/fs/cgroup", 3, 8, WARNING),
    ("IF205", "WORKDIR /srv\nCOPY ./ ./\nVOLUME /data /srv/", 5, 8, WARNING),
    ("IF207", "ADD http://example.org/a.jar /a.jar", 3, 5, WARNING),
    ("IF207", "ADD https://github.com/example/x.git /x", 3, 5, WARNING),
    ("IF207", "RUN wget -qO- https://example.org/x | bash -s -- -b", 3, 39, WARNING),
    ("IF207", 'RUN sh -c "$(curl -fsSL https://example.org/x)"', 3, 5, WARNING),
    ("IF207", "RUN curl -fsSL https://example.org/x | sudo -E bash -", 3, 40, WARNING),
    ("IF208", 'CMD ["npx", "nodemon", "x.js"]', 3, 6, WARNING),
    ("IF208", "CMD exec gunicorn --reload a:b", 3, 5, WARNING),
    ("IF208", 'CMD ["python3", "manage.py", "runserver", "0.0.0.0:8000"]', 3, 6, WARNING),
    ("IF208", 'ENTRYPOINT ["php"]\nCMD ["artisan", "serve"]', 3, 13, WARNING),
    ("IF208", 'CMD ["yarn", "dev"]', 3, 6, WARNING),
    ("IF208", 'CMD ["flask", "--debug", "run"]', 3, 6, WARNING),
    ("IF209", f"RUN <<EOF\nexport X=1\necho ghp_{HEX}{HEX[:4]}\nEOF", 5, 6, ERROR),
    ("IF210", "ENV MYSQL_ROOT_PASSWORD=root", 3, 5, WARNING),
    ("IF210", "ENV A=1 ADMIN_PASS='let me in'", 3, 9, WARNING),
    ("IF210", "ARG GITHUB_TOKEN\nRUN git clone https://${GITHUB_TOKEN}@example.org/x", 3, 5, WARNING),
    ("IF210", "ARG DB_PASSWORD=geheim\nRUN x", 3, 5, WARNING),
    ("IF212", "RUN curl -fsSLk https://example.org/x -o /x", 3, 5, ERROR),
    ("IF212", "RUN curl -Lk $URL", 3, 5, WARNING),
    ("IF212", "RUN wget --no-check-certificate https://example.org/x", 3, 5, ERROR),
    ("IF212", "RUN pip install --trusted-host=pypi.org x", 3, 5, ERROR),
    ("IF212", "RUN apt-get install -y --allow-unauthenticated x", 3, 5, ERROR),
    ("IF212", "RUN apk add --allow-untrusted x", 3, 5, ERROR),
    ("IF212", "RUN apk add --allow-untrusted /tmp/x.apk", 3, 5, WARNING),
    ("IF212", "RUN yum install -y --nogpgcheck https://example.org/x.rpm", 3, 5, ERROR),
    ("IF212", "RUN yum install -y --nogpgcheck x", 3, 5, ERROR),
    ("IF212", "RUN git -c http.sslVerify=false clone https://example.org/x", 3, 5, ERROR),
    ("IF212", "RUN npm config set strict-ssl false", 3, 5, ERROR),
    ("IF212", "ENV A=1 GIT_SSL_NO_VERIFY=true", 3, 9, ERROR),
    ("IF212", "ARG GIT_SSL_NO_VERIFY=1\nRUN git clone https://example.org/x", 3, 5, ERROR),
    ("IF212", 'RUN GIT_SSL_NO_VERIFY=1 sh -c "git clone a && git clone b && echo x"', 3, 31, ERROR),
    ("IF212", "RUN GIT_SSL_NO_VERIFY=1 git clone https://example.org/x", 3, 25, ERROR),
    ("IF304", "COPY a /srv/app\nRUN true && chmod -R 755 /srv", 4, 13, WARNING),
    ("IF304", "WORKDIR /app\nCOPY . .\nRUN cd /app && chown --recursive 1:1 ./", 5, 16, WARNING),
    ("IF307", "RUN apt-get update && apt-get -y install x", 3, 23, INFO),
    ("IF309", "RUN npm install", 3, 5, INFO),
    ("IF309", "RUN poetry install", 3, 5, INFO),
    ("IF405", "COPY a /app\nRUN chmod -R a+rwX /app", 4, 5, WARNING),
    ("IF405", "RUN chmod 666 /etc/passwd", 3, 5, WARNING),
    ("IF405", "RUN chmod ugo+rwx -R /opt", 3, 5, WARNING),
    ("IF406", "RUN chmod 4755 /x", 3, 5, WARNING),
    ("IF406", "RUN chmod ug+s,o+x /x", 3, 5, WARNING),
    ("IF407", "RUN echo 'root:toor' | chpasswd", 3, 5, ERROR),
    ("IF407", "RUN a && printf 'app:b1\\n' | chpasswd -c SHA512", 3, 10, ERROR),
    ("IF407", "RUN chpasswd <<< 'root:toor'", 3, 5, ERROR),
    ("IF407", "RUN echo geheim | passwd --stdin root", 3, 5, ERROR),
    ("IF407", "RUN useradd -m -p '$6$salt$hash' app", 3, 5, ERROR),
    ("IF407", "RUN usermod --password=geheim root", 3, 5, ERROR),
]


@pytest.mark.parametrize(("rule", "lines"), SILENT)
def test_silent(rule: str, lines: str) -> None:
    assert of(lines, rule) == []


@pytest.mark.parametrize(("rule", "lines", "line", "column", "severity"), LOUD)
def test_loud(rule: str, lines: str, line: int, column: int, severity: Severity) -> None:
    assert [(one.line, one.column, one.severity) for one in of(lines, rule)] == [(line, column, severity)]


@pytest.mark.parametrize(
    ("base", "lines", "silent"),
    [
        ("golang:1.23", 'CMD ["/server"]', False),
        ("mcr.microsoft.com/dotnet/sdk:8.0", 'ENTRYPOINT ["dotnet", "a.dll"]', False),
        ("maven:3-eclipse-temurin-21", "CMD exec java -jar /a.jar", False),
        ("eclipse-temurin:21-jdk-alpine", 'CMD ["java", "-Xmx1g", "-jar", "/a.jar"]', False),
        ("eclipse-temurin:21-jdk", 'CMD ["jshell"]', True),
        ("eclipse-temurin:21-jre", 'CMD ["java", "-jar", "/a.jar"]', True),
        ("golang:1.23", "", True),  # nothing to start: a place to work in
        ("golang:1.23", 'CMD ["bash"]', True),
        ("node:22", 'CMD ["node", "a.js"]', True),
        ("example/golang-app:1", 'CMD ["/a"]', True),
    ],
)
def test_sdk_images(base: str, lines: str, silent: bool) -> None:
    found = [one for one in judged(f"FROM {base}\nUSER 1\n{lines}\n") if one.rule == "IF303"]
    assert (found == []) is silent


def test_targets_for_developers_may_hold_what_they_need() -> None:
    text = 'FROM golang:1.23 AS dev\nUSER 1\nCMD ["/air-server", "--reload"]\n'
    assert [one for one in judged(text) if one.rule == "IF303"] == []
    text = 'FROM python:3.12@sha256:1 AS dev-envs\nUSER 1\nCMD ["uvicorn", "--reload", "a:b"]\n'
    assert [one.severity for one in judged(text) if one.rule == "IF208"] == [INFO]


def test_what_children_run_is_said_to_be_theirs_and_stops_nobody() -> None:
    kept = "ONBUILD RUN curl -k https://example.org/x | sh\nONBUILD USER root\nONBUILD CMD a & b\n"
    text = f"FROM a@sha256:1\nUSER 1\n{kept}"
    found = judged(text)
    assert [(one.rule, one.severity, one.line) for one in found] == [("IF207", WARNING, 3), ("IF212", WARNING, 3)]
    assert all(one.message.startswith("for child images: ") for one in found)


def test_a_password_is_nowhere_in_what_is_said() -> None:
    text = (
        "FROM a:1\nENV DB_PASSWORD=korrekt-pferd ADMIN_PASS='ab'\nRUN echo root:batterie-klammer | chpasswd\nUSER 1\n"
    )
    said = repr(judged(text))
    assert not [word for word in ("korrekt-pferd", "batterie-klammer", "'ab'") if word in said]


def test_windows_bases_are_left_alone_without_an_escape_directive() -> None:
    text = "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022@sha256:1\nRUN curl -k https://a.example & b\nCMD x & y\n"
    assert judged(text) == ()

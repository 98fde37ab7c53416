"""What a rule's edits make of a file: clean of that rule, the same otherwise, and clean for good."""

from __future__ import annotations

import pytest

from linters import Edit, Finding
from linters.dockerfile import parse
from tests.linters.judged import judged

HEAD = "# escape=\\\nFROM alpine:3.20 AS base\nUSER root\n"


def edited(text: str, edits: tuple[Edit, ...]) -> str:
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def first(text: str, rule: str) -> Finding:
    return next(one for one in judged(text) if one.rule == rule)


SAFE = [
    ("IF106", "CMD java  -jar /a.jar\n", 'CMD ["java", "-jar", "/a.jar"]\n'),
    ("IF106", "ENTRYPOINT a \\\n  -b\n", 'ENTRYPOINT ["a", "-b"]\n'),
    ("IF301", "RUN apk add curl\n", "RUN apk add --no-cache curl\n"),
    (
        "IF301",
        "RUN apk update \\\n  && apk add \\\n    curl\n",
        "RUN apk add --no-cache \\\n    curl\n",
    ),
    ("IF301", "RUN <<EOF\napk update\napk add curl\nEOF\n", "RUN <<EOF\napk add --no-cache curl\nEOF\n"),
    ("IF301", "RUN <<EOF\nset -e\npip install x\nEOF\n", "RUN <<EOF\nset -e\npip install --no-cache-dir x\nEOF\n"),
    ("IF301", 'RUN ["sh", "-c", "pip3 install x"]\n', 'RUN ["sh", "-c", "pip3 install --no-cache-dir x"]\n'),
    (
        "IF301",
        "RUN apt-get update && \\\n    # the one\n    apt-get install -y x\n",
        "RUN apt-get update && \\\n    # the one\n    apt-get install -y x && rm -rf /var/lib/apt/lists/*\n",
    ),
    (
        "IF301",
        "RUN <<EOF\napt-get update\napt-get install -y x\nEOF\n",
        "RUN <<EOF\napt-get update\napt-get install -y x\nrm -rf /var/lib/apt/lists/*\nEOF\n",
    ),
    (
        "IF301",
        "RUN sudo sh -c 'apt-get update && apt-get install -y x'\n",
        "RUN sudo sh -c 'apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*'\n",
    ),
    ("IF304", "COPY a /app\nRUN chown -R 1:1 /app\n", "COPY --chown=1:1 a /app\n"),
    (
        "IF308",
        "RUN apt-get update\n\nRUN apt-get install -y x\n",
        "RUN apt-get update \\\n    && apt-get install -y x\n",
    ),
    ("IF403", "RUN adduser -D -u 10001 app\nUSER app\n", "RUN adduser -D -u 10001 app\nUSER 10001\n"),
    ("IF403", "RUN useradd -rlmu 999 app\nUSER app\n", "RUN useradd -rlmu 999 app\nUSER 999\n"),
    ("IF404", "RUN sudo a && sudo \\\n b\n", "RUN a && b\n"),
]
SUGGESTED = [
    ("IF105", "EXPOSE 22\nEXPOSE 80\n", "EXPOSE 80\n"),
    ("IF105", "EXPOSE 8080 22/tcp\n", "EXPOSE 8080\n"),
    ("IF105", "# ours\nEXPOSE 22 \\\n  8080\n", "# ours\nEXPOSE 8080\n"),
    ("IF105", "EXPOSE 22", ""),
    ("IF106", 'SHELL ["/bin/bash", "-c"]\nCMD a b\n', 'SHELL ["/bin/bash", "-c"]\nCMD ["a", "b"]\n'),
    ("IF106", 'ENTRYPOINT a b\nCMD ["c"]\n', 'ENTRYPOINT ["a", "b"]\nCMD ["c"]\n'),
    ("IF107", 'CMD ["python app.py", "-x"]\n', 'CMD ["python", "app.py", "-x"]\n'),
    ("IF304", "WORKDIR /app\nCOPY a /app\nRUN chown -R 1:1 /app\n", "WORKDIR /app\nCOPY --chown=1:1 a /app\n"),
    ("IF304", "COPY a /usr/share/a\nRUN chmod -R 755 /usr/share/a\n", "COPY --chmod=755 a /usr/share/a\n"),
    (
        "IF204",
        "VOLUME /data\nCOPY a /data/\nRUN touch /data/x\nCMD a\n",
        "COPY a /data/\nRUN touch /data/x\nVOLUME /data\nCMD a\n",
    ),
    ("IF204", "VOLUME /data\nCOPY a /data/", "COPY a /data/\nVOLUME /data\n"),
    (
        "IF305",
        "COPY a.txt /tmp/\n\nRUN install -r /tmp/a.txt \\\n  && rm -f /tmp/a.txt\n",
        "\nRUN --mount=type=bind,source=a.txt,target=/tmp/a.txt install -r /tmp/a.txt\n",
    ),
    (
        "IF305",
        "COPY --from=x:1 b/a.txt /a.txt\nRUN --network=none install /a.txt && rm /a.txt\n",
        "RUN --mount=type=bind,from=x:1,source=b/a.txt,target=/a.txt --network=none install /a.txt\n",
    ),
    ("IF307", "RUN apt-get install -y x\n", "RUN apt-get install --no-install-recommends -y x\n"),
    ("IF309", "RUN npm ci\n", "RUN npm ci --omit=dev\n"),
]
NONE = [
    ("IF105", "EXPOSE 22 \\\n  # why\n  80\n"),
    ("IF106", "CMD a $B\n"),
    ("IF106", "CMD a 'b c'\n"),
    ("IF106", "CMD cd /x\n"),
    ("IF106", "CMD A=b c\n"),
    ("IF106", "CMD a \\\n# why\n  b\n"),
    ("IF107", 'CMD ["a", "&&", "b"]\n'),
    ("IF301", "RUN apt-get update\nRUN apt-get install -y x\n"),  # which works from these lists
    ("IF301", "RUN apt-get update && apt-get install -y x # why\n"),
    ("IF301", "RUN apt-get update && apt-get install -y x &\n"),
    ("IF301", "RUN sudo apt-get update && sudo apt-get install -y x\n"),
    ("IF301", "RUN apt-get update && apt-get install -y x; exit 0\n"),
    ("IF301", "RUN apt-get update && apt-get install -y x && builtin exit 0\n"),
    ("IF301", "RUN apt-get update && apt-get install -y x; break\n"),
    ("IF301", "RUN <<EOF\napt-get update\napt-get install -y x\nexec x\nEOF\n"),
    ("IF301", "RUN apt-get update; if true; then apt-get install -y x; fi\n"),
    ("IF301", "RUN npm ci\n"),
    ("IF301", 'RUN ["apk", "add", "curl"]\n'),
    ("IF304", "COPY a /app\nRUN true\nRUN chown -R 1:1 /app\n"),
    ("IF304", "COPY a /app\nRUN chown -R $U:1 /app\n"),
    ("IF304", "COPY a /app\nRUN chown -R 1:1 /app && x\n"),
    ("IF204", "VOLUME /data \\\n  /x\nCOPY a /data/\n"),
    ("IF305", "COPY a.txt /tmp/\nRUN true\nRUN x && rm /tmp/a.txt\n"),
    ("IF305", "COPY a.txt /tmp/\nRUN x; rm /tmp/a.txt\n"),
    ("IF305", "COPY a.txt b.txt /tmp/\nRUN x && rm /tmp/a.txt\n"),
    ("IF305", "COPY a.txt /tmp/\nRUN x && rm /tmp/a.txt && y\n"),
    ("IF308", "RUN apt-get update\n# why\nRUN apt-get install -y x\n"),
    ("IF308", "RUN apt-get update\nRUN apt-get install -y x; y\n"),
    ("IF308", "RUN apt-get update\nRUN --network=none apt-get install -y x\n"),
    ("IF403", "RUN useradd app\nUSER app\n"),
    ("IF403", "USER app\n"),
    ("IF404", "RUN sudo -u x a\n"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "mark"])
@pytest.mark.parametrize(("rule", "before", "after"), SAFE)
def test_safe_edits(rule: str, before: str, after: str, mark: str, end: str) -> None:
    text = mark + (HEAD + before).replace("\n", end)
    one = first(text, rule)
    assert one.safe
    changed = edited(text, one.edits)
    assert changed == mark + (HEAD + after).replace("\n", end)
    assert parse(changed).problems == ()
    assert [again for again in judged(changed) if again.rule == rule] == []


@pytest.mark.parametrize(("rule", "before", "after"), SUGGESTED)
def test_suggested_edits(rule: str, before: str, after: str) -> None:
    one = first(HEAD + before, rule)
    assert not one.safe
    assert edited(HEAD + before, one.edits).endswith("root\n" + after)


@pytest.mark.parametrize(("rule", "text"), NONE)
def test_no_edit_rather_than_a_wrong_one(rule: str, text: str) -> None:
    one = first(HEAD + text, rule)
    assert one.edits == ()
    assert not one.safe


def test_sudo_goes_only_where_root_is_known() -> None:
    one = first("FROM a:1\nRUN sudo x\n", "IF404")
    assert one.edits
    assert not one.safe
    assert first("FROM a:1\nUSER root\nRUN sudo x\nUSER 1\n", "IF404").safe
    assert not first("FROM a:1\nUSER app\nRUN sudo x\n", "IF404").safe


def test_a_user_is_suggested_where_an_account_is_made() -> None:
    text = 'FROM a:1\nUSER root\nRUN useradd -u 10001 app\nCMD ["a"]\n'
    assert edited(text, first(text, "IF401").edits) == text.replace("CMD", "USER 10001\nCMD")
    text = 'FROM alpine:3\n# start\nCMD ["a"]\n'
    wanted = "RUN adduser -D -H -u 10001 app\nUSER 10001\n# start\n"
    assert edited(text, first(text, "IF402").edits) == text.replace("# start\n", wanted)

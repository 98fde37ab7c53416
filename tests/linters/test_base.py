"""What a base image's configuration changes, and which user a program runs as."""

from __future__ import annotations

import pytest

from linters import BaseConfig, Finding
from linters.accounts import accounts
from linters.dockerfile import parse
from linters.entry import entry_of
from linters.modes import changes
from linters.shell import commands
from linters.stages import Plan, plan
from linters.user import UserKind, kind_of, user_of
from tests.linters.judged import judged


def planned(text: str, config: BaseConfig | None = None) -> Plan:
    return plan(parse(text), target=None, build_args={}, subject="Dockerfile", bases=lambda _: config)


def found(text: str, config: BaseConfig | None) -> list[Finding]:
    return list(judged(text, bases=lambda _: config))


def rules(text: str, config: BaseConfig | None) -> set[str]:
    return {one.rule for one in found(text, config)} - {"IF202"}


def test_from_what_an_engine_tells() -> None:
    told = {
        "User": "app",
        "Env": ["A=1", "B=x=y"],
        "WorkingDir": "/srv",
        "Entrypoint": ["/e"],
        "Cmd": None,
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": None,
        "OnBuild": None,
    }
    config = BaseConfig.of(told)
    assert config == BaseConfig(
        user="app", env={"A": "1", "B": "x=y"}, workdir="/srv", entrypoint=("/e",), ports=("80/tcp",)
    )
    assert BaseConfig.of({}) == BaseConfig()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("root", UserKind.ROOT),
        ("ROOT:wheel", UserKind.ROOT),
        ("0", UserKind.ROOT),
        ("0:0", UserKind.ROOT),
        ("00", UserKind.ROOT),
        ("+0", UserKind.ROOT),
        ("10001", UserKind.NUMERIC),
        ("1000:0", UserKind.NUMERIC),
        ("app", UserKind.NAME),
        ("rooter", UserKind.NAME),
        ("", UserKind.UNKNOWN),
        (":0", UserKind.UNKNOWN),
        (None, UserKind.UNKNOWN),
    ],
)
def test_kinds_of_users(text: str | None, kind: UserKind) -> None:
    assert kind_of(text) is kind


@pytest.mark.parametrize(
    ("text", "config", "kind"),
    [
        ("FROM a:1\n", None, UserKind.UNKNOWN),
        ("FROM scratch\n", None, UserKind.ROOT),
        ("FROM a:1\n", BaseConfig(), UserKind.ROOT),
        ("FROM a:1\n", BaseConfig(user="1000"), UserKind.NUMERIC),
        ("FROM a:1\n", BaseConfig(user="app"), UserKind.NAME),
        ("FROM a:1\n", BaseConfig(user="app", triggers=("USER root",)), UserKind.UNKNOWN),
        ("FROM a:1\nUSER $WHO\n", BaseConfig(env={"WHO": "0"}), UserKind.ROOT),
        ("FROM a:1\nUSER ${WHO:-5}\n", BaseConfig(), UserKind.NUMERIC),
        ("FROM a:1\nUSER ${WHO:-5}\n", None, UserKind.UNKNOWN),
        ("FROM a:1\nUSER 5\nONBUILD USER root\n", None, UserKind.NUMERIC),
        ("FROM a:1 AS b\nUSER root\nFROM b\nUSER app\n", None, UserKind.NAME),
        ("FROM a:1 AS b\nUSER app\nFROM c:1\n", BaseConfig(), UserKind.ROOT),
    ],
)
def test_the_user_in_effect(text: str, config: BaseConfig | None, kind: UserKind) -> None:
    assert user_of(planned(text, config)).kind is kind


def test_a_base_that_is_not_root_needs_no_user() -> None:
    assert rules('FROM a:1\nCMD ["x"]\n', None) == {"IF402"}
    assert rules('FROM a:1\nCMD ["x"]\n', BaseConfig(user="1000")) == set()
    (one,) = (one for one in found('FROM a:1\nCMD ["x"]\n', BaseConfig()) if one.rule == "IF402")
    assert "a:1 leaves its programs to root" in one.message


def test_what_the_base_starts_counts() -> None:
    supervisor = BaseConfig(user="1", entrypoint=("/init",))
    (one,) = (one for one in found("FROM a:1\n", supervisor) if one.rule == "IF101")
    assert (one.line, one.column) == (1, 6)
    assert rules('FROM a:1\nENTRYPOINT ["x"]\n', supervisor) == set()
    assert rules('FROM a:1\nCMD ["x"]\n', supervisor) == {"IF101"}
    assert rules('FROM a:1\nCMD ["x"]\n', BaseConfig(user="1", cmd=("supervisord",))) == set()
    # CMD is then only what the program is given.
    assert rules("FROM a:1\nCMD x y\n", BaseConfig(user="1", entrypoint=("/e",))) == set()
    assert rules("FROM a:1\nCMD x y\n", BaseConfig(user="1")) == {"IF106"}


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("FROM a:1\n", ("e", "c")),
        ('FROM a:1\nCMD ["x"]\n', ("e", "x")),
        ('FROM a:1\nENTRYPOINT ["y"]\n', ("y",)),
        ('FROM a:1\nENTRYPOINT ["y"]\nCMD ["x"]\n', ("y", "x")),
        ('FROM a:1\nENTRYPOINT []\nCMD ["x"]\n', ("x",)),
    ],
)
def test_the_whole_command_line(text: str, whole: tuple[str, ...]) -> None:
    assert entry_of(planned(text, BaseConfig(entrypoint=("e",), cmd=("c",)))).whole == whole


def test_what_is_known_of_the_base_holds_in_its_stages() -> None:
    config = BaseConfig(env={"DIR": "/srv"}, workdir="/w", shell=("/bin/bash", "-c"))
    step = next(planned("FROM a:1 AS b\nFROM b\nRUN x\n", config).steps("RUN"))
    assert (step.workdir, step.shell, step.expand("$DIR$NONE")) == ("/w", ("/bin/bash", "-c"), "/srv")
    open_step = next(planned("FROM a:1\nRUN x\n").steps("RUN"))
    assert (open_step.workdir, open_step.expand("$DIR")) == ("?", None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("useradd -u 1000 app", [("app", 1000)]),
        ("useradd --uid=1000 --create-home app", [("app", 1000)]),
        ("useradd -rms /bin/false -u1000 app", [("app", 1000)]),
        ("groupadd -g 5 g && useradd -g 5 -G x,y -d /h -c 'A B' app", [("app", None)]),
        ("adduser -D -H -h /x -s /bin/sh -G g -u 70 app", [("app", 70)]),
        ("adduser --system --uid 33 --gecos '' --disabled-password app", [("app", 33)]),
        ("adduser app sudo", []),
        ("useradd $USER", []),
        ("useradd -u $UID app", [("app", None)]),
        ("useradd", []),
        ("sudo useradd -u 3 a; adduser b", [("a", 3), ("b", None)]),
    ],
)
def test_accounts(line: str, expected: list[tuple[str, int | None]]) -> None:
    assert [(one.name, one.uid) for one in accounts(commands(line))] == expected


@pytest.mark.parametrize(
    ("line", "open_to_all", "sets_user"),
    [
        ("chmod 777 /a", True, False),
        ("chmod 0666 /a", True, False),
        ("chmod 1777 /a", False, False),
        ("chmod 4755 /a", False, True),
        ("chmod 06755 /a", False, True),
        ("chmod 2775 /a", False, False),
        ("chmod a+w /a", True, False),
        ("chmod o=rwx /a", True, False),
        ("chmod +w /a", False, False),  # the umask decides
        ("chmod u+w,g+w /a", False, False),
        ("chmod a+rwt /a", False, False),
        ("chmod -w /a", False, False),
        ("chmod +s /a", False, True),
        ("chmod g+s /a", False, False),
        ("chmod -R --quiet u+s /a", False, True),
    ],
)
def test_modes(line: str, open_to_all: bool, sets_user: bool) -> None:
    (one,) = changes(commands(line))
    assert (one.writable_by_all, one.sets_user) == (open_to_all, sets_user)
    assert one.paths == ("/a",)

"""One program or several: process trees as they are seen in containers."""

from __future__ import annotations

import pytest

from linters.trial.families import families, is_settling, steady
from linters.trial.model import ProcessSeen

PYTHON, NODE = "/usr/bin/python3.11", "/usr/bin/node"


def process(
    pid: int, parent: int, program: str, *argv: str, first: float = 0.0, last: float = 3.0, waits: bool = False
) -> ProcessSeen:
    """A process as the trial sees one; `program` its file."""
    return ProcessSeen(
        pid=pid,
        parent=parent,
        started=pid,
        name=program.rpartition("/")[2][:15],
        argv=argv or (program,),
        program=program,
        uid=10001,
        gid=0,
        groups=(),
        capabilities=0,
        no_new_privileges=True,
        caught=0,
        first=first,
        last=last,
        waits=waits,
    )


ONE = {
    "one process": [process(1, 0, "/app/server")],
    "tini and a program": [process(1, 0, "/sbin/tini", "tini", "--", "a"), process(2, 1, "/app/a")],
    "a shell and a program": [process(1, 0, "/bin/dash", "sh", "-c", "a"), process(2, 1, "/app/a")],
    "nginx": [
        process(1, 0, "/usr/sbin/nginx", "nginx: master process nginx"),
        *(process(pid, 1, "/usr/sbin/nginx", "nginx: worker process") for pid in (7, 8, 9)),
    ],
    "gunicorn": [
        process(1, 0, PYTHON, "/venv/bin/python", "/venv/bin/gunicorn", "app"),
        process(2, 1, PYTHON, "/venv/bin/python", "/venv/bin/gunicorn", "app"),
    ],
    "gunicorn with titles": [
        process(1, 0, PYTHON, "gunicorn: master [app]"),
        process(2, 1, PYTHON, "gunicorn: worker [app]"),
    ],
    "uvicorn with spawned workers": [
        process(1, 0, PYTHON, "python", "/venv/bin/uvicorn", "app:app"),
        process(2, 1, PYTHON, "python", "-c", "from multiprocessing.resource_tracker import main;main(5)"),
        process(3, 1, PYTHON, "python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"),
    ],
    "postgres": [
        process(1, 0, "/usr/lib/postgresql/15/bin/postgres", "postgres"),
        *(process(pid, 1, "/usr/lib/postgresql/15/bin/postgres", f"postgres: worker {pid}") for pid in range(30, 36)),
    ],
    "postfix, of one package": [
        process(1, 0, "/usr/lib/postfix/sbin/master"),
        process(2, 1, "/usr/lib/postfix/sbin/qmgr"),
        process(3, 1, "/usr/lib/postfix/sbin/pickup"),
    ],
    "npm start": [
        process(1, 0, NODE, "node", "/usr/bin/npm", "start"),
        process(2, 1, "/bin/dash", "sh", "-c", "node server.js"),
        process(3, 2, NODE, "node", "server.js"),
    ],
    "a launcher that waits": [
        process(1, 0, PYTHON, "python", "start.py", waits=True),
        process(2, 1, "/app/server"),
    ],
    "a loop of a shell": [process(1, 0, "/bin/dash", "sh", "loop"), process(9, 1, "/bin/sleep", "sleep", "60")],
    "a server whose log is passed on": [
        process(1, 0, "/bin/bash", "bash", "run"),
        process(2, 1, "/app/server"),
        process(3, 1, "/usr/bin/tee", "tee", "log"),
    ],
    "set up that is over": [process(1, 0, "/app/server"), process(2, 1, "/bin/chown", last=0.4)],
    "a child that has just begun": [process(1, 0, "/app/server"), process(2, 1, "/bin/convert", first=2.8)],
    "erlang": [
        process(1, 0, "/usr/lib/erlang/erts-13/bin/beam.smp"),
        process(2, 1, "/usr/lib/erlang/erts-13/bin/erl_child_setup"),
        process(3, 2, "/usr/lib/erlang/erts-13/bin/inet_gethost"),
    ],
    "busybox": [process(1, 0, "/bin/busybox", "sh", "-c", "x"), process(2, 1, "/bin/busybox", "httpd", "-f")],
    "a process whose file may not be read": [
        process(1, 0, "", "nginx: master process nginx"),
        process(2, 1, "", "nginx: worker process"),
    ],
}

SEVERAL = {
    "two programs of a shell": [
        process(1, 0, "/bin/bash", "bash", "run"),
        process(2, 1, "/usr/sbin/nginx"),
        process(3, 1, "/usr/sbin/php-fpm8.2"),
    ],
    "one that was left behind by exec": [process(1, 0, "/app/web"), process(2, 1, "/app2/worker")],
    "two scripts of one interpreter": [
        process(1, 0, "/bin/dash", "sh"),
        process(2, 1, PYTHON, "python", "web.py"),
        process(3, 1, PYTHON, "python", "worker.py"),
    ],
    "a script that starts another": [
        process(1, 0, PYTHON, "python3", "/srv/server.py"),
        process(2, 1, PYTHON, "/usr/bin/python3", "/srv/clock.py"),
    ],
    "two modules of one interpreter": [
        process(1, 0, "/sbin/tini"),
        process(2, 1, PYTHON, "python", "-m", "web"),
        process(3, 1, PYTHON, "python", "-m", "beat"),
    ],
    "supervisord": [
        process(1, 0, PYTHON, "python", "/usr/bin/supervisord", "-n"),
        process(2, 1, "/usr/sbin/nginx", "nginx: master process"),
        process(3, 1, PYTHON, "python", "app.py"),
    ],
    "sshd beside": [process(1, 0, "/app/server"), process(2, 1, "/usr/sbin/sshd")],
    "npm that starts two": [
        process(1, 0, NODE, "npm", "run", "all"),
        process(2, 1, NODE, "node", "web.js"),
        process(3, 1, NODE, "node", "api.js"),
    ],
}


@pytest.mark.parametrize("name", ONE)
def test_one_program(name: str) -> None:
    found = families(ONE[name])
    assert len(found) == 1, [one.head.title for one in found]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_programs(name: str) -> None:
    assert len(families(SEVERAL[name])) > 1


def test_a_family_is_named_by_its_first_process_and_counted() -> None:
    (found,) = families(ONE["nginx"])
    assert (found.head.title, found.size) == ("nginx: master process nginx", 4)
    assert families([]) == ()


def test_what_is_gone_or_new_does_not_count() -> None:
    processes = [process(1, 0, "/a"), process(2, 1, "/b", last=2.0), process(3, 1, "/c", first=2.5)]
    assert [one.pid for one in steady(processes)] == [1]
    assert is_settling(processes)
    assert not is_settling([processes[0], process(4, 1, "/bin/sleep", first=2.9), processes[1]])
    # Of a run that was short, half of it is enough.
    assert [one.pid for one in steady([process(1, 0, "/a", last=0.2)])] == [1]

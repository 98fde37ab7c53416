"""The command line without an engine: usage, errors, exit codes, forms of output."""

from __future__ import annotations

import ast
import builtins
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import imageforge.cli.state as cli_state
from builders import Endpoint
from imageforge.cli import run_here
from imageforge.cli.expose import refuse_other, service
from imageforge.cli.kinds import meant_as_app, parse_kinds
from imageforge.cli.main import run
from imageforge.cli.output import folded
from imageforge.cli.scale import parse_counts
from imageforge.cli.state import Workplace
from imageforge.cli.target import app_selection
from imageforge.cli.tree import COMMANDS, GROUPS, NEEDS_LINUX, app
from imageforge.config import Home
from imageforge.errors import UsageError
from imageforge.store import Apps, Builds, BuildStatus
from runtime import ControllerClient, NotFound

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("IMAGEFORGE_HOME", str(home))
    return home


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["build", "--nonsense"], ["deploy", "--replicas", "x"], ["scale", "a"], ["report", "a", "b"]],
)
def test_the_parser_s_complaints_have_our_form(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 3
    err = capsys.readouterr().err
    assert err.startswith("error[usage]: ")
    assert "hint: " in err


@pytest.mark.parametrize(
    "arguments", [["ps"], ["status"], ["scale", "a", "1"], ["restart", "a"], ["rollback", "a"], ["logs", "a"]]
)
def test_without_a_stack_the_next_step_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)
    err = capsys.readouterr().err
    assert (code, "error[stack-not-running]" in err) == (4, True) or "error[no-such-app]" in err
    assert "hint: " in err


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (["A-SECRET", "--for", "run"], "hunter2", "invalid-secret-name"),
        (["a b"], "hunter2", "invalid-secret-name"),
        (["A"], "\n", "secret-empty"),
        (["A", "--for", "webhook"], "hunter2", "usage"),
        (["A", "--for", "build", "--as-file", "x"], "hunter2", "secret-path-for-builds"),
        (["A", "--as-file", "/etc/passwd"], "hunter2", "secret-path-invalid"),
        (["--as-file", "x"], "A=hunter2", "secret-name-missing"),
        (["--for", "run"], "A=1\nhunter2", "invalid-secret-line"),
        (["--for", "run"], "A=hunter2\nA=hunter2", "secret-twice"),
        (["--for", "run"], "# nothing\n\n", "no-secret-given"),
        (["A"], "\udcffhunter2", "secret-unreadable"),
    ],
)
def test_a_secret_that_is_refused_is_not_shown(
    arguments: list[str], text: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["apps", "create", "shop"]) == 0
    given = io.TextIOWrapper(io.BytesIO(text.encode(errors="surrogateescape")))
    monkeypatch.setattr("sys.stdin", given)
    assert run(["secret", "set", "shop", *arguments]) == 3
    told = capsys.readouterr()
    assert f"error[{code}]" in told.err
    assert "hunter2" not in told.out + told.err
    assert run(["secret", "ls", "shop", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_secrets_are_set_together_and_listed_without_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["apps", "create", "shop"]) == 0
    lines = tmp_path / "lines"
    lines.write_text("# ours\nPASSWORD=hunter2=x\n\nUSER_NAME=hunter2\n")
    assert run(["secret", "set", "shop", "--for", "run", "--file", str(lines)]) == 0
    assert run(["secret", "set", "shop", "PASSWORD", "--file", str(lines)]) == 0
    assert run(["secret", "set", "shop", "KEY", "--as-file", "/run/secrets/key", "--file", str(lines)]) == 0
    assert run(["secret", "rm", "shop", "PASSWORD"]) == 3
    assert run(["secret", "rm", "shop", "PASSWORD", "--for", "build"]) == 0
    told = capsys.readouterr()
    assert "error[secret-ambiguous]" in told.err
    assert run(["secret", "ls", "shop", "-o", "json"]) == 0
    out = capsys.readouterr().out
    rows = [(row["name"], row["purpose"], row["file"]) for row in json.loads(out)]
    assert rows == [("KEY", "run", "/run/secrets/key"), ("PASSWORD", "run", None), ("USER_NAME", "run", None)]
    assert "hunter2" not in told.out + told.err + out


def test_a_stack_of_root_is_pointed_out_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = tmp_path / "roots"
    Home(roots).prepare()
    monkeypatch.setattr(cli_state, "ROOT_HOME", roots)
    monkeypatch.setattr(cli_state.os, "geteuid", lambda: 1000)
    assert run(["status"]) == 4
    err = capsys.readouterr().err
    assert "error[stack-of-another-user]" in err
    assert "sudo" in err


def test_what_has_no_app_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["releases", "shop"]) == 3
    assert "none yet" in capsys.readouterr().err
    with Workplace.here().database() as database:
        for name in ("hello", "shop"):
            Apps(database).ensure(name)
    for word, hint in (("helo", "did you mean hello? apps: hello, shop"), ("zebra", "apps: hello, shop")):
        assert run(["releases", word]) == 3
        assert f"hint: {hint}\n" in capsys.readouterr().err


def test_lint_shows_json_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["lint", str(ROOT / "examples" / "90-bad-practices" / "Dockerfile"), "-o", "json"])
    (report,) = json.loads(capsys.readouterr().out)["files"]
    assert code == 2
    assert {"IF201", "IF401"} <= {finding["rule"] for finding in report["findings"]}


@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml", "markdown"])
def test_every_form_shows_the_rules(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "-o", form]) == 0
    assert "IF101" in capsys.readouterr().out


def test_down_without_a_home_is_content(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--purge"]) == 0
    assert "nothing to stop" in capsys.readouterr().err


def test_purge_asks_where_nobody_can_answer(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Home(own_home).prepare()
    assert run(["--no-input", "down", "--purge"]) == 3
    assert "error[not-confirmed]: remove all of it, for good: it must be confirmed" in capsys.readouterr().err
    assert own_home.exists()


def test_every_command_is_in_the_page_and_has_help() -> None:
    page = (ROOT / "imageforge" / "cli" / "README.md").read_text()
    for name in (*COMMANDS, *GROUPS):
        assert re.search(rf"(^|\s){name}\b", page), f"{name} is not in imageforge/cli/README.md"
    tree = get_command(app)
    assert isinstance(tree, TyperGroup)
    assert list(tree.commands) == [*COMMANDS, *GROUPS]
    assert all(command.help for command in tree.commands.values())


def test_a_build_at_a_server_loads_no_database_and_no_controller() -> None:
    script = (
        "import sys; from imageforge.cli.main import run; run(['build', '--help']); "
        "print(sorted({'sqlalchemy', 'runtime.controller', 'cryptography.x509', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_error_raised_by_hand_has_a_kebab_case_code() -> None:
    for file in ROOT.glob("imageforge/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            name = getattr(node.exc.func, "id", "")
            first = node.exc.args[0]
            if name.endswith(("Error", "Refused", "Failed", "Busy")) and isinstance(first, ast.Constant):
                assert hasattr(builtins, name) or re.fullmatch(r"[a-z]+(-[a-z]+)*", str(first.value)), file


@pytest.mark.parametrize(
    ("counts", "asked"),
    [(["3"], {"web": 3}), (["worker=2"], {"worker": 2}), (["web=1", "worker=0"], {"web": 1, "worker": 0})],
)
def test_scale_takes_a_number_or_a_process_with_one(counts: list[str], asked: dict[str, int]) -> None:
    assert parse_counts(counts) == asked


@pytest.mark.parametrize(
    "counts", [["x"], ["worker="], ["=2"], ["worker=-1"], ["101"], ["1", "2"], ["web=1", "2"], ["²"]]
)
def test_scale_refuses_anything_else(counts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_counts(counts)
    assert caught.value.code == "invalid-replicas"


def test_what_works_at_a_server_can_be_loaded_without_unix() -> None:
    """pwd, grp, fcntl and resource are not on Windows; what needs them says that it works on Linux alone."""
    names = [name for name in (*COMMANDS, *GROUPS) if name not in NEEDS_LINUX]
    assert {"apply", "diff", "delete", "get", "describe", "events", "rollout", "report"} <= set(names)
    script = (
        "import importlib, sys\n"
        "for name in ('pwd', 'grp', 'fcntl', 'resource', 'termios'): sys.modules[name] = None\n"
        f"for name in {names}: importlib.import_module('imageforge.cli.' + name)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_table_folds_its_sentences_to_the_terminal_and_never_a_name() -> None:
    name, sentence = "n" * 70, "it said a word " * 20
    assert folded(["NAME", "MESSAGE"], [["web", "short"]], 100) is None
    assert folded(["NAME", "MESSAGE"], [["web", sentence]], 100) == [None, 92]
    assert folded(["NAME", "MESSAGE"], [[name, sentence]], 80) == [None, 30]
    assert folded(["NAME", "MESSAGE"], [[name, "x" * 90]], 80) is None
    assert folded(["WHAT", "DO"], [[sentence, sentence[:60]]], 100) == [38, None]
    assert folded(["NAME"], [], 10) is None


def test_several_kinds_by_commas() -> None:
    assert parse_kinds("deploy,svc,deployments") == ["Deployment", "Service"]
    with pytest.raises(UsageError) as caught:
        parse_kinds("deploy,gadgets")
    assert (caught.value.code, caught.value.subject) == ("unknown-kind", "gadgets")


def test_expose_takes_no_service_of_others_but_moves_its_own_host() -> None:
    deployment = {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 8080}]}]}},
        },
    }
    made = service(deployment, "web", None, None, "ClusterIP", "web.localhost")
    refuse_other(service(deployment, "web", None, None, "ClusterIP", "old.localhost"), made, "web.localhost")
    with pytest.raises(UsageError) as caught:
        refuse_other(service(deployment, "web", 80, 8080, "ClusterIP", None), made, "web.localhost")
    error = caught.value
    assert (error.code, error.subject) == ("already-exists", "Service default/web")
    assert "imageforge.io/host: web.localhost" in (error.hint or "")
    assert error.kept == "nothing was changed"


def test_a_bare_name_that_is_no_app_says_how_a_deployment_is_named() -> None:
    with pytest.raises(UsageError) as caught, meant_as_app("shop"):
        raise UsageError("no-such-app", "shop", "there is no app of this name", hint="apps: hello")
    assert caught.value.hint == "apps: hello; a Deployment of a file is named deployment/shop"


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_lists_of_commands_say_whole_sentences(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*([group] if group else []), "--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["squash", "tool:1", "--all", "--keep-layers"], "imageforge squash"),
        (["-q", "image", "inspect", "tool:1", "--to"], "imageforge image inspect"),
        (["--quiet=1", "ps"], "imageforge"),
    ],
)
def test_what_is_wrong_with_an_option_is_told_of_its_command(
    arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 3
    err = capsys.readouterr().err
    assert err.startswith(f"error[usage]: {command}: Option '--")
    assert f"hint: {command} --help" in err


def test_how_many_replicas_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["scale", "deployment/x"], "how many is not said"),
        (["scale", "deployment/x", "2", "--replicas", "2"], "both N and --replicas"),
    ):
        assert run(arguments) == 3
        err = capsys.readouterr().err
        assert err.startswith("error[usage]: imageforge scale deployment/x: ")
        assert said in err
    assert run(["scale", "deployment/x", "--replicas", "2"]) == 4
    assert "error[stack-not-running]" in capsys.readouterr().err


def test_a_value_that_is_none_is_told_in_words_that_are_not_python_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trial", "tool:1", "-o", "sarif"]) == 3
    err = capsys.readouterr().err
    assert "'sarif' is not one of 'table', 'wide', 'json', 'yaml', 'markdown'" in err
    assert "Value error" not in err


def test_a_dockerfile_that_is_missing_is_told_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = Endpoint(host="unix:///nowhere.sock", origin="a test")
    monkeypatch.setattr(run_here.engine_choice, "answering", lambda home, settings: nowhere)
    (tmp_path / "empty").mkdir()
    assert run(["build", str(tmp_path / "empty"), "--no-push"]) == 3
    assert f"error[dockerfile-missing]: {tmp_path / 'empty' / 'Dockerfile'}: no such file" in capsys.readouterr().err


def test_an_app_that_does_not_run_says_what_became_of_its_last_build() -> None:
    standing: list[object] = []
    controller = cast(ControllerClient, SimpleNamespace(deployments=lambda namespace: standing))
    here = Workplace.here()
    with here.database() as database:
        Apps(database).ensure("brk")
        with pytest.raises(NotFound) as caught:
            app_selection("brk", None, here, controller, container="")
        assert (caught.value.code, caught.value.hint) == ("not-running", "imageforge deploy PATH --name brk")
        build = Builds(database).start(app="brk", source=".")
        Builds(database).finish(build, BuildStatus.FAILED)
        with pytest.raises(NotFound) as caught:
            app_selection("brk", None, here, controller, container="")
    assert caught.value.message == f"the app is not running; its last build is {build} (failed)"
    assert caught.value.hint == f"imageforge builds log {build}"
    standing.append(SimpleNamespace(app="brk", name="brk", deleting=False))
    assert app_selection("brk", None, here, controller, container="").names == ("brk",)


AT_ITS_END = """
import gc, sys
from imageforge.cli.main import main
try:
    main()
except SystemExit as end:
    kept = not gc.isenabled() and gc.get_freeze_count() > 0
    print(end.code, kept, *sys.modules)
"""
NEVER = {"linters.catalog", "fastapi", "runtime.controller"}
NO_BUILD = {*NEVER, "builders", "docker", "httpx", "rich.console"}


@pytest.mark.parametrize(
    ("words", "useless"),
    [
        ("image push oci:/none docker://127.0.0.1:1/x:1", {*NEVER, "pygments", "sqlalchemy"}),
        ("squash oci:/none oci:/other", {*NEVER, "pygments", "sqlalchemy"}),
        ("ps", NO_BUILD),
        ("logs x", NO_BUILD),
        ("scale x=1", NO_BUILD),
        ("builds ls", NO_BUILD),
        ("env ls x", NO_BUILD),
        ("get pods", {*NO_BUILD, "sqlalchemy"}),
        ("events", {*NO_BUILD, "sqlalchemy"}),
    ],
)
def test_a_command_loads_no_more_than_it_needs(words: str, useless: set[str]) -> None:
    """What it has no use for would take it longer to load than its own work, and is not gone through at the end."""
    command = [sys.executable, "-c", AT_ITS_END, *words.split()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    code, kept, *modules = done.stdout.splitlines()[-1].split()
    assert (code in "01234", kept, useless & set(modules)) == (True, "True", set()), done.stderr

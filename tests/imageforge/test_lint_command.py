"""`imageforge lint` and `imageforge rules`: what they check, write, and end with."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from imageforge.cli import lint as lint_module
from imageforge.cli.lint_jobs import CONFIGS
from imageforge.cli.main import run
from imageforge.cli.tree import COMMANDS, GROUPS, app, short_help
from imageforge.config import load_repository
from linters import hadolint

SOUND = "FROM debian:12\nUSER 10001\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lint(*arguments: str) -> int:
    return run(["lint", *arguments])


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    """The rules found in each file."""
    capsys.readouterr()
    lint(*arguments, "-o", "json")
    files = json.loads(capsys.readouterr().out)["files"]
    # The bases have no digest, which is not what is looked at here.
    return {file["file"]: [one["rule"] for one in file["findings"] if one["rule"] != "IF202"] for file in files}


def test_folders_are_searched_and_what_others_keep_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Dockerfile", "a/x.Dockerfile", "a/Dockerfile.dev", "b/Containerfile"):
        write(name, SOUND)
    for name in (".git/Dockerfile", "node_modules/x/Dockerfile", "Dockerfile.dockerignore", "a/dockerfile.txt"):
        write(name, "no Dockerfile\n")
    assert list(data(capsys)) == ["Dockerfile", "a/Dockerfile.dev", "a/x.Dockerfile", "b/Containerfile"]
    assert list(data(capsys, "a", "Dockerfile", "a")) == ["a/Dockerfile.dev", "a/x.Dockerfile", "Dockerfile"]
    assert lint("a") == 0


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"good": SOUND}, 0),
        ({"good": SOUND, "bad": "FROM debian\nUSER 1\n"}, 2),
        ({"good": SOUND, "broken": "FROM debian:12\nCOPPY a b\nUSER 1\n"}, 2),
        ({"bad": "FROM debian\nUSER 1\n", "missing": None}, 3),
        ({"empty": "# nothing\n", "good": SOUND}, 3),
    ],
)
def test_the_gravest_file_decides(files: dict[str, str | None], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in files.items():
        if text is not None:
            write(name, text)
    assert lint(*files) == code
    out = capsys.readouterr().out
    assert all(f"{name}:" in out for name in files)


def test_a_mistake_in_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--halp"], ["-o", "xml"], ["--fail-on"], ["--unsafe"], ["nowhere/"], ["--build-arg", "1=2"]):
        assert lint(*arguments) == 3
    err = capsys.readouterr().err
    assert "error[usage]: imageforge lint: " in err
    assert "error[needs-fix]: --unsafe: " in err
    write("Dockerfile", SOUND)
    assert lint("--base", "debian:12") == 3
    assert lint("Dockerfile", "--context", "nowhere") == 3
    assert lint("--write-baseline", "Dockerfile") == 3
    assert Path("Dockerfile").read_text() == SOUND
    err = capsys.readouterr().err
    assert "error[needs-image]: --base: " in err
    assert "error[context-missing]: nowhere: " in err
    assert "error[baseline-taken]: Dockerfile: " in err
    assert lint("--help") == 0
    assert "--write-baseline" in capsys.readouterr().out


def test_options_of_all_commands_may_stand_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    write("Dockerfile", SOUND)
    assert run(["--quiet", "lint", "Dockerfile", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_stdin_has_a_name_and_is_mended_to_stdout(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    given(b"FROM debian\nUSER 1\n")
    assert lint("-", "--stdin-name", "app/Dockerfile") == 2
    assert b"  app/Dockerfile:1:6 error IF201 " in capsysbinary.readouterr().out
    given(b"\xef\xbb\xbfFROM debian:12 as x\r\nLABEL a \xff\r\nUSER 1")
    assert lint("-", "--fix") == 0
    captured = capsysbinary.readouterr()
    assert captured.out == b"\xef\xbb\xbfFROM debian:12 AS x\r\nLABEL a=\xff\r\nUSER 1"
    assert b"mended   stdin: 2 findings of IF015, IF018" in captured.err


def test_what_is_mended_is_told_and_the_rest_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    file = write("Dockerfile", "FROM debian as x\nADD rootfs /\nUSER 1\n")
    assert lint("--fix") == 2
    assert file.read_text() == "FROM debian AS x\nADD rootfs /\nUSER 1\n"
    captured = capsys.readouterr()
    assert "-FROM debian as x\n+FROM debian AS x" in captured.err
    assert "IF015" not in captured.out
    assert "IF201" in captured.out
    assert lint("--fix", "--unsafe") == 2
    assert "COPY rootfs /" in file.read_text()


def test_a_file_that_cannot_be_written_is_told_and_the_others_are_mended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (write(name, "FROM debian:12 as x\nUSER 1\n") for name in ("a/Dockerfile", "b/Dockerfile"))
    from linters import rewrite

    real = rewrite._replace

    def full(path: Path, new: bytes) -> None:
        if path == one.resolve():
            raise OSError(28, "No space left on device")
        real(path, new)

    monkeypatch.setattr(rewrite, "_replace", full)
    assert lint("--fix") == 3
    assert "error[dockerfile-unwritable]: a/Dockerfile: " in capsys.readouterr().err
    assert ("as x" in one.read_text(), "AS x" in two.read_text()) == (True, True)


def test_the_folders_file_is_obeyed_and_flags_win(capsys: pytest.CaptureFixture[str]) -> None:
    write("imageforge.toml", (
        '[build]\ndockerfile = "docker/app"\ntarget = "final"\nargs = {TAG = "12"}\n'
        '[lint]\nrules = {IF003 = "error"}\nfail-on = "warning"\n'
    ))  # fmt: skip
    write("docker/app", "ARG TAG=latest\nFROM debian:$TAG AS final\nUSER 1\nMAINTAINER a\nFROM debian AS dev\n")
    write("other/Dockerfile", "FROM debian\nUSER 1\n")
    assert data(capsys) == {"docker/app": ["IF003"], "other/Dockerfile": ["IF201"]}
    assert data(capsys, "docker/app", "--build-arg", "TAG=latest")["docker/app"] == ["IF201", "IF003"]
    assert "IF402" in data(capsys, "docker/app", "--target", "dev")["docker/app"]
    assert lint("docker/app", "--fail-on", "error") == 2
    write("docker/app", "FROM debian:12 AS final\nUSER 1\nCMD run it\n")
    assert lint("docker/app", "--fail-on", "error") == 0
    assert lint("docker/app") == 2
    write("imageforge.toml", "[lint]\nfail-no = 1\n")
    assert lint("docker/app") == 3
    assert "]: imageforge.toml:2: lint.fail-no: " in capsys.readouterr().err


def test_a_repository_within_is_told_by_its_own_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("imageforge.toml", '[lint]\nrules = {IF201 = "off"}\n')
    write("a/Dockerfile", "FROM debian\nUSER 1\n")
    write("b/pyproject.toml", "[tool.imageforge.lint]\n")
    write("b/Dockerfile", "FROM debian\nUSER 1\n")
    write("c/pyproject.toml", "[project]\n")
    write("c/Dockerfile", "FROM debian\nUSER 1\n")
    assert data(capsys) == {"a/Dockerfile": [], "b/Dockerfile": ["IF201"], "c/Dockerfile": []}


def test_a_baseline_lets_fail_only_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    file = write("Dockerfile", "FROM debian\nUSER 1\n")
    assert lint("--baseline", "known.json") == 3
    assert "--write-baseline known.json" in capsys.readouterr().err
    assert lint("a b", "--baseline", "known.json") == 3
    assert "imageforge lint 'a b' --write-baseline known.json" in capsys.readouterr().err
    assert lint("--write-baseline", "known.json") == 0
    assert lint("--baseline", "known.json") == 0
    assert "0 errors, 0 warnings, 1 known" in capsys.readouterr().out
    file.write_text("# moved\n\nFROM debian\nCOPY --from=debian /a /a\nUSER 1\n")
    assert lint("--baseline", "known.json") == 2
    out = capsys.readouterr().out
    assert "Dockerfile:4:" in out
    assert "Dockerfile:3:" not in out
    write("known.json", "{}")
    assert lint("--baseline", "known.json") == 3
    assert "error[baseline-invalid]: known.json" in capsys.readouterr().err


def test_profiles_and_comments_by_flag(capsys: pytest.CaptureFixture[str]) -> None:
    write("Dockerfile", "FROM debian:12\n# hadolint ignore=IF003\nMAINTAINER a\nRUN apt-get install -y a\nUSER 1\n")
    assert "DL3008" not in data(capsys)["Dockerfile"]
    assert "IF003" not in data(capsys)["Dockerfile"]
    assert "IF003" in data(capsys, "--no-ignore")["Dockerfile"]
    assert {"IF001", "IF003", "DL3008"} <= set(data(capsys, "--profile", "strict")["Dockerfile"])
    assert "DL3008" in data(capsys, "--profile", "hadolint")["Dockerfile"]


@pytest.mark.parametrize("form", list(lint_module.LintFormat))
def test_every_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("Dockerfile", "FROM debian\nUSER 1\n")
    assert lint("-o", form) == 2
    out = capsys.readouterr().out
    assert "IF201" in out
    assert "\x1b" not in out


def test_one_file_that_hadolint_dies_of_is_no_loss_to_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "stand-in"
    real = hadolint.find_hadolint()
    program.write_text(f'#!/bin/sh\ngrep -q poison [0-9]* 2>/dev/null && exit 1\ncase "$*" in *" -") t=$(cat)\n'
                       f'case "$t" in *poison*) exit 1;; esac\nprintf "%s\\n" "$t" | {real} "$@"; exit;; esac\n'
                       f'exec {real} "$@"\n')  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setattr(hadolint, "find_hadolint", lambda: program)
    for number in range(20):
        write(
            f"{number:02}/Dockerfile",
            f"FROM debian:12\nRUN apt-get install {'poison' if number == 7 else 'x'}\nUSER 1\n",
        )
    found = data(capsys)
    assert len(found) == 20
    assert [name for name, said in found.items() if "DL3014" not in said] == ["07/Dockerfile"]
    lint("07")
    assert "note: hadolint ended with 1" in capsys.readouterr().out


def test_lint_loads_neither_the_tree_nor_a_parser_of_configuration() -> None:
    script = (
        "import sys; sys.argv = ['imageforge', '--quiet', 'lint', sys.argv[1]]\n"
        "from imageforge.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'typer', 'pydantic', 'rich', 'yaml', 'tabulate', 'sqlalchemy', 'docker', 'logging', 'difflib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    file = write("Dockerfile", SOUND).resolve()
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert "lint     " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("Dockerfile", "--fix", "--help")])
def test_its_help_looks_as_that_of_the_other_commands(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["trial", "--help"]) == 0
    other = capsys.readouterr().out
    assert lint(*words) == 0
    said = capsys.readouterr().out
    heads = [line for line in other.splitlines() if line and not line.startswith((" ", "Usage"))]
    assert heads == ["Arguments:", "Options:"]
    assert [line for line in said.splitlines() if line and not line.startswith((" ", "Usage"))] == heads
    assert said.startswith("Usage: imageforge lint [OPTIONS] [PATH…]\n\n  Check Dockerfiles against the ")
    assert said.splitlines()[-1] == other.splitlines()[-1]
    assert max(map(len, said.splitlines())) <= 80
    for action in lint_module._parser()._actions:
        assert not action.option_strings or any(word in said for word in action.option_strings)
        assert (action.help or "").endswith(".")


def test_the_list_of_commands_is_that_of_the_commands_and_loads_none() -> None:
    tree = get_command(app)
    for name in (*COMMANDS, *GROUPS):
        command = tree.commands[name]  # type: ignore[attr-defined]
        assert short_help(name) == command.get_short_help_str(limit=200), name
    script = (
        "import sys; from imageforge.cli.main import run; run(['--help'])\n"
        "print(sorted({'pydantic', 'imageforge.cli.build', 'imageforge.cli.rules', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_rule_is_shown_by_any_of_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("IF003", "if003", "MaintainerDeprecated", "maintainerdeprecated", "DL4000"):
        assert run(["rules", name]) == 0
        assert capsys.readouterr().out.startswith("# IF003: ")
    assert run(["rules", "IF999"]) == 3
    assert run(["rules", "dl3008"]) == 3
    assert "https://github.com/hadolint/hadolint/wiki/DL3008" in capsys.readouterr().err
    assert run(["rules", "-o", "wide"]) == 0
    assert "MaintainerDeprecated" in capsys.readouterr().out


def test_the_files_that_lint_looks_for_are_those_that_are_read(tmp_path: Path) -> None:
    for name in CONFIGS:
        (tmp_path / name).write_text("")
    assert load_repository(tmp_path).lint.fail_on == "error"


def test_a_secret_beside_a_fix_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    token = "ghp_" + "k3JvQ9xWm2ZtR8bYc5Ld" + "N7sHf4GpT6aEuX1i"
    file = write("Dockerfile", f"FROM debian:12 as x\nENV API_TOKEN {token}\nUSER 1\n")
    assert lint("--fix") == 2
    assert f"ENV API_TOKEN={token}" in file.read_text()
    captured = capsys.readouterr()
    assert "+ENV API_TOKEN=***" in captured.err
    assert token not in captured.err + captured.out


@pytest.mark.parametrize("form", list(lint_module.LintFormat))
def test_bytes_that_are_no_text_break_no_form(form: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    text = b"FROM debian:12\nMAINTAINER \xff\xe9\nENV \xff b\nCOPPY \xff\nUSER 1\n"
    Path(os.fsdecode(b"a\xfe.Dockerfile")).write_bytes(text)
    assert lint("-o", form) == 2
    out = capsysbinary.readouterr().out.decode("utf-8")
    assert "IF003" in out
    if form in ("json", "sarif"):
        assert "\\udcff" in out
        json.loads(out)


def test_a_word_that_is_no_value_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint("-o", "xml") == 3
    assert "argument --format/-o: 'xml' is not one of table, json, yaml, " in capsys.readouterr().err
    assert lint("--fail-on", "fatal") == 3
    assert "argument --fail-on: 'fatal' is not one of error, " in capsys.readouterr().err

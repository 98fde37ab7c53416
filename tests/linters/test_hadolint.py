"""The subprocess: what happens when it is missing, slow, or talks nonsense; and that it is kept apart."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from linters import Profile, ToolError, check, hadolint, hadolint_version


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    hadolint.find_hadolint.cache_clear()
    hadolint.hadolint_version.cache_clear()
    yield
    hadolint.find_hadolint.cache_clear()
    hadolint.hadolint_version.cache_clear()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path that is taken for hadolint's; the test writes a program there."""
    path = tmp_path / "hadolint"
    monkeypatch.setattr(hadolint, "_candidates", lambda: [path])
    return path


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def failure(**options: float) -> ToolError:
    with pytest.raises(ToolError) as caught:
        hadolint.opinions("FROM a:1\n", **options)
    return caught.value


def test_missing_binary_is_an_error_with_a_hint(stand_in: Path) -> None:
    assert failure().code == "hadolint-missing"
    assert hadolint_version() is None


def test_our_rules_speak_without_hadolint(stand_in: Path) -> None:
    report = check(Path("Dockerfile"), text="FROM debian\nUSER 1\n")
    assert [one.rule for one in report.findings] == ["IF201"]
    assert len(report.notes) == 1
    assert report.notes[0].startswith("hadolint is not installed")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken >&2; exit 3", "ended with 3: broken"),
        ("echo '{\"a\": 1'", "something else than its JSON"),
        ("echo '[{}]'", "something else than its JSON"),
        ("kill -9 $$", "ended with -9: no word"),
    ],
)
def test_failures(stand_in: Path, script: str, said: str) -> None:
    write(stand_in, script)
    error = failure()
    assert error.code == "hadolint-failed"
    assert said in error.message


def test_a_hung_hadolint_ends(stand_in: Path) -> None:
    write(stand_in, "exec sleep 60")
    assert "did not finish within 0.3 s" in failure(timeout=0.3).message


def test_not_executable(stand_in: Path) -> None:
    stand_in.write_text("not a program", encoding="utf-8")
    assert "does not start" in failure().message


def test_it_sees_nothing_of_the_caller(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    write(stand_in, f'{{ pwd; ls -A; env; echo "$@"; }} > {seen}; echo "[]"')
    monkeypatch.setenv("HADOLINT_NOFAIL", "1")
    monkeypatch.setenv("SECRET_OF_CALLER", "x")
    assert hadolint.opinions("FROM a:1\n") == ()
    text = seen.read_text(encoding="utf-8")
    assert "SECRET_OF_CALLER" not in text
    assert "HADOLINT_NOFAIL" not in text
    assert text.startswith("/")
    assert "imageforge-hadolint-" in text.splitlines()[0]
    assert text.splitlines()[1].startswith(("PATH", "HOME", "LANG", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"))


def test_the_real_one_is_found_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert hadolint.find_hadolint().is_file()
    version = hadolint_version()
    assert version is not None
    assert version.startswith("Haskell Dockerfile Linter 2.15.")


def test_a_configuration_in_the_users_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".hadolint.yaml").write_text("ignored: [DL3014]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    said = hadolint.opinions("FROM a:1\nRUN apt-get install -- ü\n")
    assert "DL3014" in {one.code for one in said}


def test_the_profile_names_what_is_off() -> None:
    said = hadolint.opinions("FROM debian\nRUN cd /x && apt-get install -y curl\nUSER root\nCMD a\n")
    assert {one.code for one in said} == {"DL3015"}


def test_many_texts_get_the_answers_that_each_gets_alone() -> None:
    texts = [f"FROM a:1\nRUN apt-get install {'x ' * number}\nUSER 1\n" for number in range(1, 23)]
    texts[3] = "FROM a:1\nWORKDIR a\n"  # hadolint dies of it, where nobody has dressed it
    wanted = [(text, Profile.HADOLINT if number % 5 else Profile.DEFAULT) for number, text in enumerate(texts)]
    together = hadolint.answers(wanted, workers=2)
    assert isinstance(together[3], ToolError)
    for number, (text, profile) in enumerate(wanted):
        if number != 3:
            assert together[number] == hadolint.opinions(text, profile=profile)


def test_shares_are_even_and_hold_each_text_once() -> None:
    sizes = {number: 10 + number % 7 * 100 for number in range(50)}
    shares = hadolint._shares(sizes, 4)
    assert sorted(at for share in shares for at in share) == list(range(50))
    loads = [sum(sizes[at] for at in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes.values())
    assert hadolint._shares({7: 1}, 4) == [[7]]
    assert hadolint._shares({}, 4) == []


def test_strict_asks_for_pins_and_is_else_the_default_profile() -> None:
    import yaml

    default, strict = (
        yaml.safe_load((Path(hadolint.__file__).with_name(name)).read_text())
        for name in ("hadolint.yaml", "hadolint.strict.yaml")
    )
    pins = {"DL3008", "DL3013", "DL3016", "DL3018", "DL3028", "DL3033", "DL3037", "DL3041", "DL3062", "DL4006"}
    assert set(default["ignored"]) - set(strict["ignored"]) == pins
    assert set(strict["ignored"]) <= set(default["ignored"])


def test_what_would_take_all_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hadolint, "MOST_MEMORY", 64)
    with pytest.raises(ToolError, match="Heap exhausted"):
        hadolint.opinions("FROM a:1\nRUN a=(" + "$((1+" * 4000 + "\n")
    assert hadolint.opinions("FROM a:1\nRUN cd x\n")

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageforge.sources import Ignore, SourceRefused
from imageforge.sources.tree import walk
from linters.context.pattern import Pattern, _Automaton, _tokens

# As in moby/patternmatcher's tests and on docs.docker.com: pattern, path, whether it or a folder above it matches.
MATCHES = [
    ("**", "file", True),
    ("**/", "file", True),
    ("**", "dir/file", True),
    ("**/**", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir/dir2/file", True),
    ("**/dir", "dir", True),
    ("**/dir", "dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/**", "dir/dir2/dir2/file", True),
    ("**file", "file", True),
    ("**file", "dir/file", True),
    ("**file", "dir/dir/file", True),
    ("**/file", "dir/dir/file", True),
    ("**/file*", "dir/dir/file.txt", True),
    ("**/file*txt", "dir/dir/file.txt", True),
    ("**/file*.txt*", "dir/dir/file.txt", True),
    ("**/**/*.txt", "dir/dir/file.txt", True),
    ("**/**/*.txt", "file.txt", True),
    ("**/**/*.txt2", "dir/dir/file.txt", False),
    ("**/*.txt", "file.txt", True),
    ("a**/*.txt", "a/file.txt", True),
    ("a**/*.txt", "a/dir/dir/file.txt", True),
    ("a/*.txt", "a/dir/file.txt", False),
    ("a/*.txt", "a/file.txt", True),
    ("a/*.txt**", "a/file.txt", True),
    ("a[b-d]e", "ae", False),
    ("a[b-d]e", "ace", True),
    ("a[b-d]e", "aae", False),
    ("a[^b-d]e", "aze", True),
    ("a[^b-d]e", "ace", False),
    ("a[!b]", "a!", True),
    ("a[\\]]b", "a]b", True),
    ("[[]x", "[x", True),
    ("a]b", "a]b", True),
    (".*", ".foo", True),
    (".*", "foo", False),
    ("abc.def", "abcdef", False),
    ("abc.def", "abcZdef", False),
    ("abc?def", "abcZdef", True),
    ("abc?def", "abcdef", False),
    ("abc?def", "abc/def", False),
    ("a\\\\", "a\\", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("**/foo/bar", "foo/bar", True),
    ("**/foo/bar", "dir/dir2/foo/bar", True),
    ("abc/**", "abc", False),
    ("abc/**", "abc/def/ghi", True),
    ("**/.foo", ".foo", True),
    ("**/.foo", "bar.foo", False),
    ("a(b)c/def", "a(b)c/def", True),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", True),
    ("*/temp*", "somedir/temporary.txt", True),
    ("*/temp*", "somedir/temp/file", True),
    ("*/temp*", "temp", False),
    ("*/*/temp*", "somedir/subdir/temporary.txt", True),
    ("temp?", "tempa", True),
    ("temp?", "temp", False),
    ("/foo/bar", "foo/bar", True),
    ("foo/bar/", "foo/bar", True),
    ("./foo//bar", "foo/bar", True),
    ("foo/../bar", "bar", True),
    ("foo", "foo/bar/baz", True),
    ("foo", "sub/foo", False),  # git would match here, Docker does not
    ("*.md", "docs/README.md", False),
    ("*", "docs/README.md", True),
    (".", "anything", False),
    ("..", "anything", False),
    ("/", "anything", False),
    ("  spaced  ", "spaced", True),
    ("a\nb", "a", False),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_what_a_pattern_matches(pattern: str, path: str, expected: bool) -> None:
    assert Ignore.of(pattern).excludes(path) is expected


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_the_automaton_agrees_with_the_expression(pattern: str, path: str, expected: bool) -> None:
    parsed = Pattern.parse(pattern)
    assert parsed
    tokens = _tokens(parsed.text)
    assert _Automaton(tokens).matches(path) is bool(re.fullmatch("".join(tokens), path, re.DOTALL))


@settings(deadline=None)
@given(st.text("ab/*?[]^-", max_size=12), st.text("ab/-", max_size=10))
def test_the_automaton_agrees_with_any_expression(pattern: str, path: str) -> None:
    try:
        tokens = _tokens(pattern)
    except ValueError:
        return
    assert _Automaton(tokens).matches(path) is bool(re.fullmatch("".join(tokens), path, re.DOTALL))


def test_a_pattern_cannot_take_forever() -> None:
    ignore = Ignore.of("**/a" * 40 + "*b*b*b*b*b")
    begun = time.process_time()
    assert not ignore.excludes("/".join(["aaaa"] * 400))
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        (["*.md", "!README.md"], ["a.md"], ["README.md", "a.txt"]),
        (["*.md", "!README*.md", "README-secret.md"], ["README-secret.md", "x.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["x.md"], ["README.md", "README-secret.md"]),
        (["!a", "a"], ["a", "a/b"], []),
        (["docs", "!docs/README.md"], ["docs", "docs/x", "docs/sub/README.md"], ["docs/README.md"]),
        (["docs/**", "!docs/keep"], ["docs/x"], ["docs", "docs/keep", "docs/keep/below"]),
        (["*", "!src"], ["x", "y/z"], ["src", "src/deep/file"]),
        (["**", "!**/*.py"], ["x", "a/b.txt"], ["x.py", "a/b.py"]),
        (["vendor", "!vendor/a", "vendor/a/b"], ["vendor/x", "vendor/a/b/c"], ["vendor/a", "vendor/a/c"]),
        (["! spaced"], [], ["spaced"]),
    ],
)
def test_the_last_pattern_that_matches_wins(lines: list[str], out: list[str], kept: list[str]) -> None:
    ignore = Ignore.of(*lines)
    assert [path for path in (*out, *kept) if ignore.excludes(path)] == out


def test_the_file_has_comments_empty_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"\xef\xbb\xbf*.a\r\n# *.b\r\n\r\n  *.c  \r\n #d\n")
    ignore = Ignore.read(tmp_path)
    assert [path for path in ("x.a", "x.b", "x.c", "#d", "d") if ignore.excludes(path)] == ["x.a", "x.c", "#d"]


@pytest.mark.parametrize("line", ["[", "a[]", "a[b-", "[b-a]", "[-x]", "x*\\", "!", "! "])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / ".dockerignore").write_text(f"ok\n{line}\n")
    with pytest.raises(SourceRefused) as caught:
        Ignore.read(tmp_path)
    assert caught.value.code == "dockerignore-invalid"
    assert caught.value.subject.endswith(".dockerignore:2")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x\n" * 600_000])
def test_a_file_that_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".dockerignore").write_bytes(data)
    with pytest.raises(SourceRefused) as caught:
        Ignore.read(tmp_path)
    assert caught.value.code == "dockerignore-invalid"


def test_the_dockerfiles_own_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/prod").write_text("FROM scratch\n")
    assert Ignore.read(tmp_path, Path("docker/prod")).excludes("a")
    (tmp_path / "docker/prod.dockerignore").write_text("b\n")
    own = Ignore.read(tmp_path, Path("docker/prod"))
    assert (own.excludes("a"), own.excludes("b")) == (False, True)
    assert own.kept >= {"docker/prod", "docker/prod.dockerignore"}
    assert Ignore.read(tmp_path).excludes("a")


def test_no_file_leaves_nothing_out(tmp_path: Path) -> None:
    assert not Ignore.read(tmp_path).excludes("anything")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "*", "!a/b", "!**/b", "a/*", "!b/a", "**/a", "!a/a/b", "!*/b"]), max_size=4),
)
def test_walking_finds_what_the_rules_leave(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Folders that are left out are not entered without need; nothing may be lost by that."""
    folder = tmp_path_factory.mktemp("tree")
    names = [f"{x}/{y}/{z}" for x in "abc" for y in "abc" for z in "abc"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    ignore = Ignore.of(*lines)
    walked = [leaf.name for leaf in walk(folder, ignore) if leaf.kind == "file"]
    assert walked == [name for name in names if not ignore.excludes(name)]

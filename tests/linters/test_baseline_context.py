"""A baseline knows a file of the context by its name: another one behind the same COPY is new."""

from collections import Counter
from pathlib import Path

from linters import LintReport
from linters.baseline import entries, read, without, write
from linters.check import Job, check_all

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "aB3d" * 20 + "\n-----END OPENSSH PRIVATE KEY-----\n"


def test_a_new_secret_behind_a_known_copy_is_new(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM debian:12\nCOPY . /app\nUSER 1\n")

    def found(known: Counter[str]) -> LintReport:
        (report,) = check_all([Job(dockerfile=file, name="Dockerfile", context=tmp_path)])
        assert isinstance(report, LintReport)
        return without(report, known)

    (tmp_path / ".env").write_text("API_TOKEN=aB3dE5fG7hJ9kL1mN3pQ5r\n")
    known = read(write(entries([found(Counter())])))
    assert "IF211" not in {one.rule for one in found(known.copy()).findings}
    (tmp_path / ".env").unlink()
    (tmp_path / "id_rsa").write_text(KEY)
    assert [one.message for one in found(known.copy()).findings if one.rule == "IF211"] == [
        "id_rsa goes into the image and holds a private key"
    ]

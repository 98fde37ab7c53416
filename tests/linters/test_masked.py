"""No secret of a file is told by what is said of the file."""

import json
from pathlib import Path

import pytest

from linters import DockerfileError, LintReport, check, check_all, masker
from linters.check import Job
from linters.reporters.document import document

TOKEN = "ghp_" + "aB3dE6gH9" * 4
LINES = ["aB3dE6gH" * 8, "Zy9xW8vU" * 8, "Qq1Rr2Ss" * 8]
KEY = "\\n".join(["-----BEGIN RSA PRIVATE KEY-----", *LINES, "-----END RSA PRIVATE KEY-----"])
FROM = "FROM debian:12\n"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (f'ENV A=1 API_TOKEN="{TOKEN[:20]}\\\n{TOKEN[20:]}"', [TOKEN[:20], TOKEN[20:]]),
        (f"RUN sudo echo '{KEY}' > /k", LINES),
        (f"LABEL key='{KEY}'", LINES),
        ("COPY <<EOF /k\n" + KEY.replace("\\n", "\n") + "\nEOF", LINES),
        (f"ENV A=b {TOKEN}", [TOKEN]),
        (f"RUM echo {TOKEN}", [TOKEN]),
        (f"# imageforge ignore=IF999 {TOKEN}\nRUN x", [TOKEN]),
        (f"MAINTAINER {TOKEN}", [TOKEN]),
        ("ENV DB_PASSWORD hunter2", ["hunter2"]),
        ("RUN curl -k https://me:S3cretPass99@example.org/", ["S3cretPass99"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_nothing_secret_is_said(text: str, secrets: list[str], tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"{FROM}{text}\n")
    (report,) = check_all([Job(dockerfile=file, name="Dockerfile")])
    assert isinstance(report, LintReport)
    assert any(finding.line > 1 for finding in report.findings)
    said = json.dumps(document([report]))
    try:
        check(file)
    except DockerfileError as error:
        said += f"{error} {error.hint}"
    assert [one for one in secrets if one in said] == []
    # What is shown of a change that was made goes the same way.
    masked = masker(Job(dockerfile=file, name="Dockerfile"))
    assert [one for one in secrets if one in "".join(map(masked, file.read_text().splitlines()))] == []


def test_an_empty_line_of_a_key_hides_no_word() -> None:
    body = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + LINES[0] + "\n"
    text = f"{FROM}COPY <<EOF /k\n{body}EOF\nEXPOSE 22\n"
    (report,) = check_all([Job(dockerfile=Path("Dockerfile"), name="Dockerfile", text=text)])
    assert isinstance(report, LintReport)
    assert "EXPOSE 22" in {finding.excerpt for finding in report.findings}

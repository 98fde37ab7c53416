"""An apply that is waited for, on a terminal: progress as it comes, the reports at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imageforge.cli.output import Format, document, say, show, write
from imageforge.errors import DeployFailed
from imageforge.report.apply import ApplyReport, ObjectRow, as_markdown
from imageforge.report.rollout import RolloutReport, as_text

COLUMNS = ("object", "namespace", "change")


def show_objects(rows: Iterable[ObjectRow], form: Format) -> None:
    """What became of each object."""
    shown = [{"object": row.object, "namespace": row.namespace, "change": row.change} for row in rows]
    show(shown, columns=COLUMNS, form=form)


def show_following(rows: Iterable[Mapping[str, Any]], form: Format) -> None:
    """Show an apply that is followed. Raises DeployFailed at its end where a rollout failed, or lost a request; Ctrl-C
    leaves it going on."""
    shown = _Shown(form)
    try:
        for row in rows:
            shown.take(row)
    except KeyboardInterrupt:
        say("it goes on; imageforge rollout status deployment/NAME waits for it, report deployment/NAME tells of it")
        raise
    shown.end()


class _Shown:
    """What was told so far. Tables are printed as they come; the other forms are one document, at the end."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._table = form in (Format.TABLE, Format.WIDE)
        self._objects: tuple[ObjectRow, ...] = ()
        self._reports: list[RolloutReport] = []
        self._error: Mapping[str, Any] | None = None
        self._ended = False

    def take(self, row: Mapping[str, Any]) -> None:
        """One row of `imageforge.pipeline.applying`."""
        kind = row["kind"]
        if kind == "applied":
            self._objects = tuple(ObjectRow(**item) for item in row["objects"])
            if self._table:
                show_objects(self._objects, self._form)
        elif kind == "progress":
            say(str(row["text"]))
        elif kind == "report":
            self._reports.append(RolloutReport.from_json(row["report"]))
            if self._table:
                write(f"\n{as_text(self._reports[-1])}")
        elif kind == "end":
            self._error = row["error"]
            self._ended = True

    def end(self) -> None:
        """Nothing more comes."""
        whole = ApplyReport(objects=self._objects, rollouts=tuple(self._reports))
        if self._form is Format.MARKDOWN:
            write(as_markdown(whole))
        elif not self._table:
            document(whole.as_json(), self._form)
        if not self._ended:
            raise DeployFailed(
                "follow-cut-off",
                "apply --wait",
                "what told of it ended before it was done: it goes on, and nobody knows how it ended",
                hint="imageforge rollout status deployment/NAME, and report deployment/NAME",
            )
        if self._error is not None:
            error = self._error
            raise DeployFailed(
                str(error["code"]),
                str(error["subject"]),
                str(error["message"]),
                hint=error.get("hint"),
                kept=error.get("kept"),
            )

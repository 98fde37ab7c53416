"""CronJobs: from a checked tree to a value."""

from __future__ import annotations

from runtime.manifest.cursor import Cursor
from runtime.manifest.model import Concurrency, CronJob
from runtime.manifest.parse import job_of
from runtime.schedule import schedule, zone


def cron_job(root: Cursor) -> CronJob:
    """A CronJob from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    template = spec.get("jobTemplate")
    name, namespace = meta.get("name").plain(), meta.get("namespace").plain("default")
    inner = template.get("metadata")
    labels, annotations = inner.get("labels").plain({}), inner.get("annotations").plain({})
    return CronJob(
        namespace=namespace,
        name=name,
        schedule=_checked(spec.get("schedule")),
        time_zone=_zone(spec.get("timeZone")),
        job=job_of(template.get("spec"), namespace=namespace, name=name, labels=labels, annotations=annotations),
        data={
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"namespace": namespace, "labels": labels, "annotations": annotations},
            "spec": template.get("spec").plain(),
        },
        concurrency=Concurrency(spec.get("concurrencyPolicy").plain("Allow")),
        starting_deadline=spec.get("startingDeadlineSeconds").plain(),
        suspend=spec.get("suspend").plain(False),
        successful_history=spec.get("successfulJobsHistoryLimit").plain(3),
        failed_history=spec.get("failedJobsHistoryLimit").plain(1),
    )


def _checked(cursor: Cursor) -> str:
    said = str(cursor.plain())
    if said.strip().lower().startswith("@every"):
        raise cursor.fail("unsupported-value", f' is "{said}": only times are supported', hint="write */5 * * * *")
    try:
        return schedule(said)
    except ValueError as error:
        raise cursor.fail(
            "invalid-value", f' "{said}" {error}', hint="for example 30 2 * * 1-5: at 2:30 on weekdays"
        ) from None


def _zone(cursor: Cursor) -> str | None:
    said: str | None = cursor.plain()
    if said is None:
        return None
    try:
        zone(said)
    except ValueError as error:
        raise cursor.fail("invalid-value", f' "{said}" {error}', hint="for example Europe/Berlin") from None
    return said

"""imageforge status: the stack and its applications."""

from __future__ import annotations

import time
from collections.abc import Iterable

from imageforge.cli.output import Format, FormatOption, document, say, show
from imageforge.cli.state import Workplace
from imageforge.config.names import WEB
from imageforge.entry.standing import certificate_folders
from imageforge.report.units import age
from imageforge.stack.state import read_report
from runtime import ControllerClient, DeploymentStatus, RolloutPhase, RuntimeFailure, certificate_states


def status(form: FormatOption = Format.TABLE) -> None:
    """Whether the stack runs, on which engine, and what it serves."""
    here = Workplace.here()
    here.require_running()
    report = read_report(here.home)
    assert report is not None
    now = time.time()
    services = [
        {
            "service": service.name,
            "state": service.state.value,
            "pid": service.pid,
            "since": age(now - service.since),
            "restarts": service.restarts,
            "address": service.address,
            "message": service.message,
        }
        for service in report.services
    ]
    try:
        deployments = ControllerClient(here.home.controller_socket).deployments()
        problem = ""
    except RuntimeFailure as failure:
        deployments, problem = (), f"{failure.message}"
    apps = app_rows(deployments, here)
    broken = [
        {"file": state.file, "problem": state.problem}
        for state in certificate_states(certificate_folders(here.home, here.settings) if here.settings.public else ())
        if state.problem
    ]
    if form in (Format.JSON, Format.YAML):
        engine = {"endpoint": report.engine, "origin": report.engine_origin}
        whole = {"home": str(here.home.path), "engine": engine, "services": services, "apps": apps}
        document(whole | ({"left_out_certificates": broken} if here.settings.public else {}), form)
        return
    say(f"home    {here.home.path}\nengine  {report.engine} ({report.engine_origin})\n")
    show(services, columns=("service", "state", "pid", "since", "restarts", "address"), wide=("message",), form=form)
    for service in services:
        if service["message"]:
            say(f"{service['service']}: {service['message']}")
    for left_out in broken:
        say(f"certificate left out: {left_out['file']}: {left_out['problem']}")
    say("")
    if problem:
        say(f"the controller does not answer: {problem}")
    show(
        apps,
        columns=("app", "release", "ready", "state", "url"),
        form=form,
        empty="no apps yet: imageforge deploy PATH",
    )


def app_rows(deployments: Iterable[DeploymentStatus], here: Workplace) -> list[dict[str, object]]:
    """The apps that have something running, each as a row of a table."""
    found: dict[str, list[DeploymentStatus]] = {}
    for deployment in deployments:
        if deployment.deleting and deployment.name != deployment.app:
            continue  # a process that the app no longer has
        found.setdefault(deployment.app, []).append(deployment)
    return [_app_row(app, processes, here) for app, processes in sorted(found.items())]


WORST_FIRST = (RolloutPhase.STALLED, RolloutPhase.PROGRESSING, RolloutPhase.COMPLETE)


def _app_row(app: str, processes: list[DeploymentStatus], here: Workplace) -> dict[str, object]:
    """Counts and state are of all its processes together; release and address are web's."""
    web = next((one for one in processes if one.name == app), processes[0])
    worst = min(processes, key=lambda one: WORST_FIRST.index(one.phase))
    row: dict[str, object] = {
        "app": app,
        "release": web.release or None,
        "ready": f"{sum(one.ready for one in processes)}/{sum(one.desired for one in processes)}",
        "state": worst.phase.value,
        "url": here.settings.url(web.host) if web.host else None,
        "message": worst.message,
    }
    if len(processes) > 1:
        row["processes"] = {one.component or WEB: f"{one.ready}/{one.desired}" for one in processes}
    return row

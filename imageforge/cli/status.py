"""imageforge status: the stack and its applications."""

from __future__ import annotations

import time
from dataclasses import asdict

from imageforge.cli.output import Format, FormatOption, document, say, show
from imageforge.cli.state import Workplace
from imageforge.entry.standing import certificate_folders
from imageforge.report.units import age
from imageforge.stack.state import read_report
from runtime import ControllerClient, DeploymentStatus, RuntimeFailure, certificate_states


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
    apps = [app_row(deployment, here) for deployment in deployments]
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


def app_row(deployment: DeploymentStatus, here: Workplace) -> dict[str, object]:
    """A deployment as a row of a table."""
    row = asdict(deployment)
    return {
        "app": row["name"],
        "release": row["release"] or None,
        "ready": f"{row['ready']}/{row['desired']}",
        "state": deployment.phase.value,
        "url": here.settings.url(deployment.host) if deployment.host else None,
        "message": row["message"],
    }

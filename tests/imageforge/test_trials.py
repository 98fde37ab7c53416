"""What is kept of trials, and the trial of a build: waited for only where it is required."""

from __future__ import annotations

import datetime
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import BuiltImage, Endpoint
from imageforge.config import Home, RepositoryConfig, Settings
from imageforge.errors import Cancelled, ForgeError, GateRefused
from imageforge.pipeline import trials
from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.plan import Plan, Request, plan
from imageforge.pipeline.trial_run import TrialRun, wanted
from linters import Basis, Finding, LintReport, Principle, Severity, TrialReport, TrialRequest, Verdict

ENDPOINT = Endpoint(host="unix:///none.sock", origin="test")
FOUND = Finding(
    rule="IF504",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    message="SIGTERM was without effect",
    file="shop",
    line=0,
    fix="handle it",
    basis=Basis.MEASURED,
)
PASSED = TrialReport(name="shop", image_id="sha256:a", command=("a",), verdict=Verdict.PASSED, seconds=5.0)
REFUSED = replace(PASSED, verdict=Verdict.REFUSED, findings=(FOUND,))
UNMADE = replace(PASSED, verdict=Verdict.UNMADE, reason="it ended after 0.2 s", last_words=("no database",))
BUILT = BuiltImage(image_id="sha256:a", size=1, diff_ids=(), config={"config": {"ExposedPorts": {"3000/tcp": {}}}})


def planned(folder: Path, **lint: Any) -> Plan:
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return plan(Request(path=folder, name="shop"), RepositoryConfig.model_validate({"lint": lint}))


def settled(
    given: Plan, act: Any, *, cancelled: bool = False, heard: list[Event] | None = None
) -> tuple[LintReport, list[Event]]:
    """What a trial of a build that comes to `act` is told as; `heard` gets the events of one that is refused, too."""
    events = [] if heard is None else heard
    recorder, stop = Recorder(listeners=(events.append,)), threading.Event()
    if cancelled:
        stop.set()
    trial = TrialRun(given, BUILT, Settings(), act)
    try:
        with recorder.stage("trial") as log:
            if not given.policy.require_measured and not cancelled:
                trial._thread.join(30)
            return trial.settle(log, stop), events
    finally:
        trial.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[TrialRequest]:
    """Trials that are counted in the place of being made; the engine knows one image."""
    made: list[TrialRequest] = []

    def act(request: TrialRequest, **_: object) -> TrialReport:
        made.append(request)
        return UNMADE if request.command == ("unmade",) else replace(REFUSED, name=request.name)

    monkeypatch.setattr(trials, "inspect_image", lambda name, **_: replace(BUILT, image_id=f"sha256:{name}"))
    monkeypatch.setattr(trials, "try_image", act)
    monkeypatch.setattr(trials, "remove_trials", lambda *_, **__: 0)
    return made


def test_a_trial_is_made_once_for_an_image_and_what_is_run_in_it(home: Home, counted: list[TrialRequest]) -> None:
    request = TrialRequest(image="a", name="shop:1")
    first = trials.tried(request, home, ENDPOINT)
    again = trials.tried(replace(request, name="other:2"), home, ENDPOINT)
    assert (len(counted), first.cached, again.cached) == (1, False, True)
    assert (again.name, [one.file for one in again.findings]) == ("other:2", ["other:2"])
    others = [
        replace(request, image="b"),
        replace(request, command=("x",)),
        replace(request, entrypoint=("x",)),
        replace(request, port=81),
        replace(request, environment={"A": "1"}),
    ]
    for number, other in enumerate(others, start=2):
        assert not trials.tried(other, home, ENDPOINT).cached
        assert len(counted) == number
    assert not trials.tried(request, home, ENDPOINT, again=True).cached
    trials.keep(request, "sha256:squashed", first, home)
    assert trials.tried(replace(request, image="squashed"), home, ENDPOINT).image_id == "sha256:squashed"
    assert len(counted) == 7


def test_what_could_not_be_measured_is_measured_again(home: Home, counted: list[TrialRequest]) -> None:
    request = TrialRequest(image="a", name="shop:1", command=("unmade",))
    assert [trials.tried(request, home, ENDPOINT).cached for _ in range(2)] == [False, False]
    assert len(counted) == 2


def test_a_damaged_file_is_as_good_as_none_and_not_all_are_kept(
    home: Home, counted: list[TrialRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "MOST_KEPT", 2)
    request = TrialRequest(image="a", name="shop:1")
    trials.tried(request, home, ENDPOINT)
    for file in home.trials.iterdir():
        file.write_text('{"name": 1}')
    assert not trials.tried(request, home, ENDPOINT).cached
    for port in range(1, 6):
        trials.tried(replace(request, port=port), home, ENDPOINT)
    assert len(list(home.trials.iterdir())) == 2


def test_the_containers_say_whose_they_are(home: Home, counted: list[TrialRequest]) -> None:
    trials.tried(TrialRequest(image="a", name="shop:1"), home, ENDPOINT)
    labels = counted[0].labels
    assert labels["io.imageforge.instance"] == home.instance
    assert trials.TRIAL_LABEL in labels


def test_a_trial_is_wanted_where_it_is_required_or_the_home_tries_all(tmp_path: Path) -> None:
    plain, required = planned(tmp_path), planned(tmp_path, require="measured")
    assert [wanted(plain, Settings()), wanted(required, Settings())] == [False, True]
    assert wanted(plain, Settings(trials="beside"))


def test_a_build_passes_by_what_was_measured(tmp_path: Path) -> None:
    asked: list[TrialRequest] = []

    def act(request: TrialRequest, _: threading.Event) -> TrialReport:
        asked.append(request)
        return PASSED

    report, events = settled(planned(tmp_path, require="measured"), act)
    assert report.findings == ()
    assert events[-1].text == "passed, 0 of 0 as they should be, measured in 5.0 s"
    # Where a program listens is the flag, else the only EXPOSE.
    assert (asked[0].port, asked[0].image, asked[0].limits.seconds) == (3000, "sha256:a", 20.0)


def test_a_required_trial_refuses_and_one_beside_only_tells(tmp_path: Path) -> None:
    with pytest.raises(GateRefused) as refused:
        settled(planned(tmp_path, require="measured"), lambda *_: REFUSED)
    assert (refused.value.code, refused.value.kind) == ("trial-refused", "refused")
    assert 'rule = "IF504"' in (refused.value.hint or "")
    report, events = settled(planned(tmp_path), lambda *_: REFUSED)
    assert [one.rule for one in report.findings] == ["IF504"]
    assert [event.data["basis"] for event in events if event.kind is EventKind.FINDING] == ["measured"]


def test_what_was_not_made_is_no_pass_unless_it_is_waived(tmp_path: Path) -> None:
    with pytest.raises(GateRefused) as refused:
        settled(planned(tmp_path, require="measured"), lambda *_: UNMADE)
    assert refused.value.code == "trial-not-made"
    report, events = settled(planned(tmp_path), lambda *_: UNMADE)
    assert (report.findings, events[-1].text) == ((), "not made: it ended after 0.2 s")
    assert "last words: no database" in [event.text for event in events]
    tomorrow = datetime.date.today() + datetime.timedelta(days=1)
    waiver = {"rule": "IF500", "reason": "needs its database", "until": tomorrow}
    report, events = settled(planned(tmp_path, require="measured", waivers=(waiver,)), lambda *_: UNMADE)
    assert (report.findings, [one.finding.rule for one in report.suppressed]) == ((), ["IF500"])

    def broken(*_: object) -> TrialReport:
        raise ForgeError("engine-lost", "engine", "it stopped answering")

    with pytest.raises(GateRefused, match="it stopped answering"):
        settled(planned(tmp_path, require="measured"), broken)


def test_a_build_whose_image_is_a_job_is_told_the_way_out(tmp_path: Path) -> None:
    job = replace(UNMADE, reason="it ended after 0.2 s by itself, as a job does", hint="a job is judged by its files")
    heard: list[Event] = []
    with pytest.raises(GateRefused):
        settled(planned(tmp_path, require="measured"), lambda *_: job, heard=heard)
    (finding,) = [event for event in heard if event.kind is EventKind.FINDING]
    assert finding.data["fix"] == "what ends by itself cannot be measured: waive IF500 in [lint] waivers"


def test_a_waiver_of_what_was_measured_lets_the_image_pass(tmp_path: Path) -> None:
    tomorrow = datetime.date.today() + datetime.timedelta(days=1)
    waiver = {"rule": "IF504", "reason": "nothing is lost", "until": tomorrow}
    report, events = settled(planned(tmp_path, require="measured", waivers=(waiver,)), lambda *_: REFUSED)
    assert (report.findings, len(report.suppressed), events[-1].text.endswith(", 1 waived")) == ((), 1, True)


def test_a_trial_that_is_under_way_is_ended_where_nobody_requires_it(tmp_path: Path) -> None:
    ended = threading.Event()

    def act(_: TrialRequest, cancelled: threading.Event) -> TrialReport:
        cancelled.wait(60)
        ended.set()
        return PASSED

    report, events = settled(planned(tmp_path), act, cancelled=True)
    assert (report.findings, events[-1].text.startswith("still under way after ")) == ((), True)
    assert ended.is_set()
    with pytest.raises(Cancelled):
        settled(planned(tmp_path, require="measured"), act, cancelled=True)

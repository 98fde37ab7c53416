"""CronJobs with a simulated clock: when they are due, what they make and remove, and what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import JobPhase, ManifestError, load_manifests
from runtime.cron import ACTIVE, CronDecision, CronRun, Made, decide_cron, job_name
from runtime.crons import RETRY_SECONDS, Crons, job_data
from runtime.events import Recorder
from runtime.jobs import Jobs
from runtime.manifest import dump
from runtime.manifest.model import Concurrency, CronJob, Job
from runtime.objects import Objects
from runtime.roster import Replica, Roster
from runtime.schedule import latest, schedule, times, zone
from runtime.seal import Seal
from runtime.store import Store

TEXT = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: "*/5 * * * *"
  timeZone: UTC
  jobTemplate:
    metadata: {labels: {team: a}}
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: report, image: "report:1"}]
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ('"*/5 * * * *"', '"*/5 * * *"', "invalid-value", "has 4 fields, expected 5"),
        ('"*/5 * * * *"', '"60 * * * *"', "invalid-value", 'has "60" for minute, expected 0 to 59'),
        ('"*/5 * * * *"', '"* * * * 7"', "invalid-value", 'has "7" for day of week'),
        ('"*/5 * * * *"', '"* * L * *"', "invalid-value", 'has "l" for day of month'),
        ('"*/5 * * * *"', '"*/0 * * * *"', "invalid-value", "a step of 0"),
        ('"*/5 * * * *"', '"5-1 * * * *"', "invalid-value", "whose end is before its beginning"),
        ('"*/5 * * * *"', '"0 0 31 2 *"', "invalid-value", "is never due"),
        ('"*/5 * * * *"', '"TZ=UTC 0 0 * * *"', "invalid-value", "spec.timeZone"),
        ('"*/5 * * * *"', '"CRON_TZ=UTC 0 0 * * *"', "invalid-value", "spec.timeZone"),
        ('"*/5 * * * *"', '"@every 5m"', "unsupported-value", "only times"),
        ('"*/5 * * * *"', '"@noon"', "invalid-value", "is none of"),
        ('"*/5 * * * *"', "5", "wrong-type", "expected a string"),
        ("timeZone: UTC", "timeZone: Mars/Olympus", "invalid-value", "not in the database"),
        ("timeZone: UTC", "timeZone: ../etc/passwd", "invalid-value", "no name of a time zone"),
        ("timeZone: UTC", "timeZone: Local", "invalid-value", "no name of a time zone"),
        ("timeZone: UTC", "concurrencyPolicy: Never", "invalid-value", "Never"),
        ("name: report}", f"name: {'a' * 53}}}", "invalid-value", "at most 52"),
        ("OnFailure", "Always", "invalid-value", "Always"),
        ("timeZone: UTC", "timezone: UTC", "unknown-field", "timezone"),
    ],
)
def test_a_cron_job_is_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    with pytest.raises(ManifestError) as caught:
        load_manifests(text)
    assert caught.value.code == code, caught.value
    assert message in caught.value.message


def cron(**changes: object) -> CronJob:
    found = load_manifests(TEXT)[0].object
    assert isinstance(found, CronJob)
    return replace(found, **changes)  # type: ignore[arg-type]


def at(text: str, where: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(where)).timestamp()


def due(text: str, after: float, count: int, where: str = "UTC") -> list[str]:
    found: Iterator[float] = times(schedule(text), zone(where), after)
    return [datetime.fromtimestamp(one, ZoneInfo(where)).strftime("%m-%d %H:%M") for one in islice(found, count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("7/20 ? * * ?", ["01-01 00:07", "01-01 00:27", "01-01 00:47"]),
        ("@daily", ["01-02 00:00", "01-03 00:00", "01-04 00:00"]),
        ("@weekly", ["01-07 00:00", "01-14 00:00", "01-21 00:00"]),
        ("0 9 * JAN-mar MON,fri", ["01-01 09:00", "01-05 09:00", "01-08 09:00"]),
        # Either of two days is enough, and */2 restricts as a list does.
        ("0 0 13 * 5", ["01-05 00:00", "01-12 00:00", "01-13 00:00"]),
        ("0 0 */15 * 3", ["01-03 00:00", "01-10 00:00", "01-16 00:00"]),
    ],
)
def test_when_it_is_due(text: str, expected: list[str]) -> None:
    assert due(text, at("2024-01-01"), 3) == expected


def test_a_time_is_that_of_its_zone_in_summer_and_winter() -> None:
    hours = [datetime.fromtimestamp(one, UTC).hour for one in islice(
        times(schedule("30 12 * 1,7 *"), zone("Europe/Berlin"), at("2024-01-30")), 3
    )]  # fmt: skip
    assert hours == [11, 11, 10]
    assert zone(None) is not None


@given(st.integers(0, 10**6), st.integers(0, 20_000), st.sampled_from(["* * * * *", "*/7 * * * *", "13 4 * * *"]))
def test_the_latest_is_what_counting_all_of_them_gives(after: int, minutes: int, text: str) -> None:
    now = after + minutes * 60.0
    every = []
    for one in times(schedule(text), UTC, after):
        if one > now:
            break
        every.append(one)
    assert latest(schedule(text), UTC, after, now) == (every[-1] if every else None, min(len(every), 101))


START = at("2024-01-01")
NEW = CronRun(created_at=START)


def made(name: str = "report-1", phase: JobPhase = JobPhase.ACTIVE, **more: object) -> Made:
    return Made(name=name, phase=phase, **more)  # type: ignore[arg-type]


def test_nothing_before_the_first_time_and_one_job_a_time() -> None:
    assert decide_cron(cron(), NEW, (), START + 299) == CronDecision(until=START + 300)
    first = decide_cron(cron(), NEW, (), START + 301)
    assert (first.start, first.until, first.say) == (START + 300, START + 600, ())
    after = CronRun(created_at=START, last=START + 300)
    assert decide_cron(cron(), after, (), START + 400) == CronDecision(until=START + 600)
    # Killed between making it and remembering that.
    same = made(job_name("report", START + 300))
    assert decide_cron(cron(), NEW, (same,), START + 400) == CronDecision(served=START + 300, until=START + 600)
    assert job_name("report", START + 300) == f"report-{int(START + 300) // 60}"


def test_only_the_latest_that_was_missed_and_a_word_on_more_than_a_hundred() -> None:
    found = decide_cron(cron(), NEW, (), START + 3601)
    assert (found.start, found.say) == (START + 3600, ())
    found = decide_cron(cron(), NEW, (), START + 101 * 300)
    assert (found.start, [said.reason for said in found.say]) == (START + 101 * 300, ["TooManyMissedTimes"])
    # A deadline counts only what is not older: none is too many then.
    limited = cron(starting_deadline=200)
    assert decide_cron(limited, NEW, (), START + 101 * 300).say == ()
    assert decide_cron(limited, NEW, (), START + 101 * 300 + 200) == CronDecision(until=START + 102 * 300)
    assert decide_cron(limited, NEW, (), START + 101 * 300 + 199).start == START + 101 * 300


def test_what_becomes_of_one_that_still_runs() -> None:
    running = (made(),)
    assert decide_cron(cron(), NEW, running, START + 301).start == START + 300
    waits = decide_cron(cron(concurrency=Concurrency.FORBID), NEW, running, START + 301)
    assert (waits.start, waits.delete, [said.message for said in waits.say]) == (None, (), [ACTIVE])
    # It starts as soon as the other is done, for it was not served.
    done = (made(phase=JobPhase.FAILED, finished_at=START + 310),)
    assert decide_cron(cron(concurrency=Concurrency.FORBID), NEW, done, START + 311).start == START + 300
    ending = (made(deleting=True),)
    assert decide_cron(cron(concurrency=Concurrency.FORBID), NEW, ending, START + 311).start is None
    other = decide_cron(cron(concurrency=Concurrency.REPLACE), NEW, running, START + 301)
    assert (other.start, other.delete) == (START + 300, ("report-1",))


def test_suspended_it_starts_nothing_and_catches_up_once() -> None:
    assert decide_cron(cron(suspend=True), NEW, (), START + 3601) == CronDecision()
    assert decide_cron(cron(), NEW, (), START + 3601).start == START + 3600


def test_history_keeps_the_newest() -> None:
    jobs = tuple(
        made(f"{phase}-{number}", phase, finished_at=START - number)
        for phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)
        for number in range(5)
    )
    found = decide_cron(cron(), NEW, jobs, START + 1)
    assert set(found.delete) == {"succeeded-3", "succeeded-4", *(f"failed-{number}" for number in range(1, 5))}
    none = decide_cron(cron(successful_history=0, failed_history=9, suspend=True), NEW, jobs, START + 1)
    assert set(none.delete) == {f"succeeded-{number}" for number in range(5)}


def test_a_clock_that_is_set_back_starts_nothing_twice() -> None:
    after = CronRun(created_at=START, last=START + 3600)
    assert decide_cron(cron(), after, (), START + 600).start is None


@given(
    st.lists(st.integers(1, 4000), max_size=30),
    st.sampled_from(list(Concurrency)),
    st.one_of(st.none(), st.integers(0, 600)),
)
def test_no_time_is_served_twice_and_none_before_it(
    steps: list[int], policy: Concurrency, deadline: int | None
) -> None:
    """Looked at at any moments, with Jobs that end before the second look after."""
    it = cron(concurrency=policy, starting_deadline=deadline)
    run, now, served, jobs = NEW, START, [], ()
    for step in steps:
        now += step
        found = decide_cron(it, run, jobs, now)
        assert found.until is not None
        assert found.until > now
        if found.start is not None:
            assert found.start <= now
            assert deadline is None or found.start > now - deadline
            served.append(found.start)
            run = CronRun(created_at=START, last=found.start)
            jobs = (made(job_name("report", found.start)),)
        else:
            jobs = ()
    assert served == sorted(set(served))


def test_its_job_is_one_that_is_accepted_and_names_its_owner(tmp_path: Path) -> None:
    data = job_data(cron(), "report-28401125", START)
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(dump([data]), "cron")
    found = objects.job("default", "report-28401125").job
    assert isinstance(found, Job)
    assert (found.owner, found.on_failure, found.labels) == ("report", True, {"team": "a"})
    assert found.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2024-01-01T00:00:00Z"
    store.close()


class Clock:
    """The machine's clock, set by the test."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class NoPods:
    """Nobody makes a pod: these Jobs are looked at and not run."""

    def begin(self, replica: Replica) -> None:
        raise AssertionError(replica)

    def halt(self, name: str) -> None:
        raise AssertionError(name)

    def end(self, name: str) -> None:
        raise AssertionError(name)


class Home:
    """A store with everything that reads it, and no engine."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.store = Store(folder / "x.db")
        self.events = Recorder(self.store)
        self.objects = Objects(self.store, lambda: None, Seal(folder / "key"))
        self.jobs = Jobs(
            self.objects, self.store, Roster(self.store), NoPods(), events=self.events, emptied=lambda _: None
        )
        self.crons = Crons(self.objects, self.jobs, self.store, self.events, clock)

    def names(self) -> list[str]:
        return sorted(held.job.name for held in self.objects.jobs() if not held.deleting)

    def finish(self, name: str, reason: str = "") -> None:
        job = self.objects.job("default", name).job
        run = self.jobs.run(job)
        self.jobs.put(job, replace(run, finished_at=run.started_at, reason=reason))


def test_jobs_are_made_in_time_over_a_restart_and_go_with_their_cron_job(tmp_path: Path) -> None:
    clock = Clock(START)
    home = Home(tmp_path, clock)
    home.objects.apply(TEXT, "a.yaml")
    home.crons.sync()
    assert home.names() == []
    assert home.crons.statuses(None)[0].next_at == START + 300
    clock.now = START + 300.5
    home.crons.sync()
    home.crons.sync()
    first = job_name("report", START + 300)
    assert home.names() == [first]
    status = home.crons.statuses("default")[0]
    assert (status.active, status.last_scheduled_at, status.next_at) == (1, START + 300, START + 600)
    assert home.jobs.status("default", first).cron_job == "report"
    # Another controller does not make it again, also once it is gone.
    home.store.close()
    home = Home(tmp_path, clock)
    home.crons.sync()
    assert home.names() == [first]
    home.finish(first)
    home.objects.finish_delete_job("default", first)
    home.crons.sync()
    assert home.names() == []
    # Away for an hour, it makes up for one.
    home.store.close()
    clock.now = START + 4000
    home = Home(tmp_path, clock)
    home.crons.sync()
    assert home.names() == [job_name("report", START + 3900)]
    # Of those that are done three stay.
    for at_time in (4200, 4500, 4800, 5100):
        home.finish(home.names()[-1])
        clock.now = START + at_time
        home.crons.sync()
    home.crons.sync()
    assert len([name for name in home.names() if home.jobs.status("default", name).finished_at]) == 3
    assert [event.reason for event in home.events.past(kind="CronJob")].count("SuccessfulCreate") >= 5
    home.objects.delete("default", "CronJob", "report")
    home.crons.sync()
    assert home.names() == []
    home.objects.apply(TEXT, "a.yaml")
    home.crons.sync()
    assert home.names() == []
    home.store.close()


def test_a_job_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    clock = Clock(START)
    home = Home(tmp_path, clock)
    home.objects.apply(TEXT, "a.yaml")
    home.crons.sync()
    name = job_name("report", START + 300)
    taken = TEXT[TEXT.index("      template:") :].replace("\n    ", "\n")
    mine = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {taken.strip()}\n"
    home.objects.apply(mine.replace("report:1", "other:1"), "mine.yaml")
    clock.now = START + 301
    home.crons.sync()
    told = [event for event in home.events.past(kind="CronJob") if event.reason == "FailedCreate"]
    assert len(told) == 1
    assert told[0].warning
    for _ in range(3):
        home.crons.sync()
    (told,) = [event for event in home.events.past(kind="CronJob") if event.reason == "FailedCreate"]
    assert told.count == 1, "tried again after a pause alone"
    home.objects.finish_delete_job("default", name)
    clock.now += RETRY_SECONDS
    home.crons.sync()
    assert home.names() == [name]
    home.store.close()

"""What an earlier release runs with, beside what is set for its app now."""

from __future__ import annotations

from imageforge.pipeline.deploy import tell_environment
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.release import again, set_since
from imageforge.store import Environment
from tests.imageforge.test_secrets import VALUE, deployer, put, release

__all__ = ["deployer"]


def test_variables_that_were_set_changed_or_taken_away_since_are_named(deployer: Deployer) -> None:
    earlier = release(deployer, 1, SAME="1", CHANGED="1", GONE="1")
    Environment(deployer.database).change("shop", {"SAME": "1", "CHANGED": "2", "NEW": "1"})
    assert set_since(earlier, deployer) == ("CHANGED", "GONE", "NEW")
    assert set_since(again(earlier, deployer, note="again"), deployer) == ("CHANGED", "GONE", "NEW")
    assert set_since(again(earlier, deployer, note="now", refresh=True), deployer) == ()


def test_secrets_are_the_releases_own_and_not_told_as_variables(deployer: Deployer) -> None:
    put(deployer, PASSWORD=VALUE)
    earlier = release(deployer, 1, LEVEL="1")
    put(deployer, PASSWORD=None, TOKEN=VALUE)
    Environment(deployer.database).change("shop", {"LEVEL": "1"})
    assert set_since(earlier, deployer) == ()


def test_one_line_says_what_a_rollback_runs_with_and_when_the_rest_counts(deployer: Deployer) -> None:
    heard: list[Event] = []
    recorder = Recorder(listeners=(heard.append,))
    earlier = release(deployer, 1, GREETING="hi")
    Environment(deployer.database).change("shop", {"GREETING": "hi"})
    tell_environment(earlier, deployer, recorder)
    assert heard == []
    Environment(deployer.database).change("shop", {"GREETING": VALUE})
    tell_environment(earlier, deployer, recorder)
    (told,) = heard
    assert told.kind is EventKind.NOTE
    assert told.text == (
        "it runs with release 1's environment; what is set now differs in GREETING, for the next release"
    )


def test_many_variables_are_counted(deployer: Deployer) -> None:
    heard: list[Event] = []
    earlier = release(deployer, 1)
    Environment(deployer.database).change("shop", {f"V{number}": "1" for number in range(9)})
    tell_environment(earlier, deployer, Recorder(listeners=(heard.append,)))
    assert "differs in V0, V1, V2, V3, V4 and 4 more, for" in heard[0].text

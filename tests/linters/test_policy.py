"""A project's wishes: profiles, severities, waivers, registries; and what is wrong with them."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from linters import LintReport, Policy, Profile, Severity, Waiver, check, faults, rules
from linters.rules.if022 import registry_of
from linters.suggest import nearest, slips
from linters.variables import references

TODAY = datetime.date(2030, 6, 15)
TEXT = f"""\
FROM debian:12@sha256:{"0" * 64}
MAINTAINER a
RUN apt-get update && apt-get install --no-install-recommends b
USER 1
"""


def report(text: str, policy: Policy) -> LintReport:
    return check(Path("Dockerfile"), text=text, policy=policy, today=TODAY)


def rules_of(found: LintReport) -> set[str]:
    return {one.rule for one in found.findings}


def test_a_rule_can_be_raised_lowered_and_switched_off() -> None:
    policy = Policy(severities={"IF003": Severity.ERROR, "IF301": None, "DL3014": Severity.STYLE})
    found = {one.rule: one.severity for one in report(TEXT, policy).findings}
    assert found == {"IF003": Severity.ERROR, "DL3014": Severity.STYLE}


def test_profiles_ask_more_or_as_hadolint_does() -> None:
    default = report(TEXT, Policy())
    strict = report(TEXT, Policy(profile=Profile.STRICT))
    plain = report(TEXT, Policy(profile=Profile.HADOLINT))
    assert "DL3008" not in rules_of(default)
    assert "DL4000" not in rules_of(default)
    assert "DL3008" in rules_of(strict)
    # As hadolint comes, with ours beside it.
    assert {"DL3008", "DL4000", "DL3009", "IF003", "IF301"} <= rules_of(plain)


def test_a_waiver_counts_to_its_last_day_and_its_end_is_told() -> None:
    def waived(until: datetime.date, *paths: str) -> LintReport:
        return report(TEXT, Policy(waivers=(Waiver(rule="if003", reason="why", until=until, paths=paths),)))

    held = waived(TODAY)
    assert "IF003" not in rules_of(held)
    assert [(one.finding.rule, one.cause.value, one.reason) for one in held.suppressed] == [
        ("IF003", "waiver", "why (until 2030-06-15)")
    ]
    over = waived(TODAY - datetime.timedelta(days=1))
    assert "IF003" in rules_of(over)
    assert "the waiver of if003 ended on 2030-06-14: why" in over.notes
    assert "IF003" in rules_of(waived(TODAY, "other/*"))
    assert "IF003" not in rules_of(waived(TODAY, "./Docker*"))


def test_an_end_that_nobody_needs_is_not_told() -> None:
    policy = Policy(waivers=(Waiver(rule="IF401", reason="why", until=datetime.date(2020, 1, 1)),))
    assert report(TEXT, policy).notes == ()


@pytest.mark.parametrize(
    ("reference", "refused"),
    [
        ("debian:12", False),
        ("docker.io/library/debian:12", False),
        ("docker.io/other/debian:12", True),
        ("other/debian:12", True),
        ("registry.example.org:5000/a:1", False),
        ("quay.io/a:1", True),
        ("a.internal/b/c:1", False),
    ],
)
def test_registries_that_are_allowed(reference: str, refused: bool) -> None:
    policy = Policy(registries=("docker.io/library", "registry.example.org:5000", "*.internal"))
    found = report(f"FROM scratch\nCOPY --from={reference} /a /a\nUSER 1\n", policy)
    assert ("IF022" in rules_of(found)) is refused


@pytest.mark.parametrize(
    ("reference", "host"),
    [("a", "docker.io"), ("a/b", "docker.io"), ("localhost/b", "localhost"), ("x:5/b", "x:5"), ("x.y/b@z", "x.y")],
)
def test_the_host_of_a_reference(reference: str, host: str) -> None:
    assert registry_of(reference) == host


def test_what_is_wrong_with_a_policy() -> None:
    policy = Policy(
        severities={"IF999": None, "IF003": None, "DL3008": None, "XX1": None},
        options={"IF003": {"size": 1}, "IF998": {"x": 1}},
        waivers=(Waiver(rule="IF30I", reason="why", until=TODAY),),
    )
    found = {".".join(one.path): (one.message, one.hint) for one in faults(policy, rules())}
    assert set(found) == {"rules.IF999", "rules.XX1", "rules.IF998", "rules.IF003.size", "waivers.0.rule"}
    assert found["rules.IF003.size"] == ("IF003 has no option `size`", "it has no options but severity")
    assert found["waivers.0.rule"][1] == "did you mean `IF301`?"
    assert all(hint for _, hint in found.values())


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("bulider", ["builder", "base"], "builder"),
        ("node", ["nodejs"], None),
        ("buld", ["build", "bold"], None),
        ("VERSOIN", ["VERSION"], "VERSION"),
        ("abc", ["abd"], None),
        ("DESTINATON", ["DESTINATION"], "DESTINATION"),
    ],
)
def test_what_was_meant(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant


def test_slips() -> None:
    assert [slips("abcd", other, most=2) for other in ("abcd", "abdc", "abd", "xbyd", "wxyz")] == [0, 1, 1, 2, None]


def test_references_are_what_the_builder_replaces() -> None:
    text = r"""$A \$B '$C' "$D" "it's ${E:-x}" ${F} ${G:?no} $1 ${H#y} '"$I"' "'$J'" """
    found = {one.name: one.optional for one in references(text)}
    assert found == {"A": False, "D": False, "E": True, "F": False, "G": True, "H": False, "J": False}
    assert all(text[one.start : one.end].lstrip("${") == one.name for one in references(text))


def test_options_are_obeyed_and_checked() -> None:
    text = f"FROM debian:12@sha256:{'0' * 64}\nRUN apt-get install -y --no-install-recommends gcc cron\nUSER 1\n"
    assert {"IF302", "IF104"} <= rules_of(report(text, Policy()))
    allowed = Policy(options={"IF302": {"allow": ("gcc",)}, "IF104": {"allow": ("cron",)}})
    assert not {"IF302", "IF104"} & rules_of(report(text, allowed))
    assert "IF016" in rules_of(report("FROM scratch\nUSER 1\n", Policy(options={"IF016": {"case": "lower"}})))
    named = "FROM scratch\nLABEL a=$B\nUSER 1\n"
    assert "IF010" in rules_of(report(named, Policy()))
    assert "IF010" not in rules_of(report(named, Policy(options={"IF010": {"given": ("B",)}})))
    wrong = Policy(
        options={
            "IF302": {"allow": "gcc"},
            "IF306": {"megabytes": "x"},
            "IF016": {"case": "big"},
            "IF104": {"alow": ()},
        }
    )
    found = {".".join(one.path): (one.message, one.hint) for one in faults(wrong, rules())}
    assert found["rules.IF302.allow"][0] == "expected a list of texts, got 'gcc'"
    assert found["rules.IF306.megabytes"] == ("expected a whole number, got 'x'", "the default is 200")
    assert found["rules.IF016.case"][0] == "expected one of most, upper, lower, got 'big'"
    assert found["rules.IF104.alow"][1] == "did you mean `allow`?"


def test_every_option_says_what_it_is_for() -> None:
    for rule in rules():
        for option in rule.options:
            assert option.help
            assert not option.choices or option.default in option.choices


def test_a_secret_is_hidden_though_its_rule_is_off() -> None:
    token = "ghp_" + "k3JvQ9xWm2ZtR8bYc5Ld" + "N7sHf4GpT6aEuX1i"
    policy = Policy(severities={"IF209": None, "IF210": None})
    found = report(f"FROM debian:12\nENV API_TOKEN {token}\nUSER 1\n", policy)
    assert "IF018" in rules_of(found)
    assert not {"IF209", "IF210"} & rules_of(found)
    assert token not in repr(found)


def test_what_a_rule_that_is_off_stands_for_is_off_with_it_unless_it_is_asked_for() -> None:
    assert not {"IF003", "DL4000"} & rules_of(report(TEXT, Policy(severities={"IF003": None})))
    asked = Policy(severities={"IF003": None, "DL4000": Severity.INFO})
    assert "DL4000" in rules_of(report(TEXT, asked))


def test_a_severity_for_what_hadolint_is_not_asked_is_told() -> None:
    wanted = {"DL3008": Severity.ERROR, "DL3007": Severity.INFO, "DL3020": Severity.ERROR, "DL3059": None}
    found = {one.path[1]: (one.message, one.hint) for one in faults(Policy(severities=wanted), rules())}
    assert found == {
        "DL3008": (
            "the profile default does not ask for DL3008",
            'profile = "hadolint" asks for all that hadolint knows',
        ),
        "DL3007": ("the profile default does not ask for DL3007", "IF201 says the same"),
    }
    asked = Policy(severities=wanted, profile=Profile.HADOLINT)
    assert list(faults(asked, rules())) == []

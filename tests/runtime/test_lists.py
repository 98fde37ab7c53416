"""From the lists that are there to the wanted ones, without HAProxy: against a simple picture of what it does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.balancer.keyring import Entry
from runtime.balancer.lists import (
    LARGEST_COMMAND,
    Command,
    Line,
    certificates_in_step,
    escape,
    load_commands,
    map_commands,
    missing_certificates,
    parse_certificates,
    parse_map,
    parse_stores,
    retire_commands,
)

FOLDER = "/home/a b/keyring"
KEYS = st.sampled_from([f"{letter}.example.org" for letter in "abcdef"])
VALUES = st.sampled_from(["n_web", "n_api"])


def act(there: list[tuple[str, str]], command: Command) -> list[tuple[str, str]]:
    """What HAProxy does to a map."""
    verb, _, _, *rest = command.line.split()
    if verb == "add":
        return [*there, *parse_map(command.payload)]
    assert any(key == rest[0] for key, _ in there), "HAProxy answers that the key is not found"
    if verb == "set":
        return [(key, rest[1] if key == rest[0] else value) for key, value in there]
    assert verb == "del"
    return [(key, value) for key, value in there if key != rest[0]]


@given(wanted=st.dictionaries(KEYS, VALUES), there=st.lists(st.tuples(KEYS, VALUES)), cut=st.integers(0, 9))
def test_a_map_becomes_what_is_wanted_though_the_way_was_cut_off_once(
    wanted: dict[str, str], there: list[tuple[str, str]], cut: int
) -> None:
    pairs = tuple(wanted.items())
    for command in list(map_commands("hosts.map", pairs, there))[:cut]:
        there = act(there, command)
    for command in map_commands("hosts.map", pairs, there):
        there = act(there, command)
    assert sorted(there) == sorted(pairs)
    assert list(map_commands("hosts.map", pairs, there)) == []


def test_many_hosts_are_said_in_commands_that_haproxy_can_read() -> None:
    wanted = tuple((f"{number:04}.{'x' * 200}.example.org", "default_web") for number in range(500))
    commands = list(map_commands("hosts.map", wanted, ()))
    assert all(len(command.line) + len(command.payload) < LARGEST_COMMAND for command in commands)
    assert tuple(pair for command in commands for pair in parse_map(command.payload)) == wanted


def test_what_haproxy_shows_is_parsed() -> None:
    assert parse_map("0x5586 a.example.org n_web\n0x5587 b.example.org n_api\n") == (
        ("a.example.org", "n_web"),
        ("b.example.org", "n_api"),
    )
    shown = f"# certificates.list\n{FOLDER}/a.pem:1 a.example.org b.example.org\n{FOLDER}/b.pem:12 [] c.example.org\n"
    assert parse_certificates(shown) == (
        Line(path=f"{FOLDER}/a.pem", number=1, names=("a.example.org", "b.example.org")),
        Line(path=f"{FOLDER}/b.pem", number=12, names=("c.example.org",)),
    )
    stores = f"# transaction\n*{FOLDER}/b.pem\n# filename\n{FOLDER}/a.pem\n{FOLDER}/b.pem\n"
    assert parse_stores(stores) == ({f"{FOLDER}/a.pem", f"{FOLDER}/b.pem"}, {f"{FOLDER}/b.pem"})


def test_certificates_that_are_missing_and_that_are_too_much() -> None:
    wanted = (Entry(file="a2.pem", names=("a",)), Entry(file="b.pem", names=("b",)))
    there = (
        Line(path=f"{FOLDER}/a1.pem", number=1, names=("a",)),
        Line(path=f"{FOLDER}/b.pem", number=2, names=("b", "c")),
    )
    assert not certificates_in_step(FOLDER, wanted, there)
    assert missing_certificates(FOLDER, wanted, there) == wanted
    came = (
        *there,
        Line(path=f"{FOLDER}/b.pem", number=3, names=("b",)),
        Line(path=f"{FOLDER}/a2.pem", number=4, names=("a",)),
        Line(path=f"{FOLDER}/a2.pem", number=5, names=("a",)),
    )
    assert missing_certificates(FOLDER, wanted, came) == ()
    said = [command.line for command in retire_commands("certificates.list", FOLDER, wanted, came)]
    folder = FOLDER.replace(" ", "\\ ")
    assert said == [
        f"del ssl crt-list certificates.list {folder}/a1.pem:1",
        f"del ssl crt-list certificates.list {folder}/b.pem:2",
        f"del ssl crt-list certificates.list {folder}/a2.pem:5",
        f"del ssl cert {folder}/a1.pem",
    ]
    assert certificates_in_step(FOLDER, wanted, came[2:4])


def test_a_key_is_in_no_text_of_a_command_and_no_empty_line_ends_it() -> None:
    pem = b"-----BEGIN A-----\r\n\r\nsecret\n\n-----END A-----\n"
    commands = list(load_commands("/k/a.pem", pem, frozenset({"/k/a.pem"}), frozenset({"/k/a.pem"})))
    assert [command.line for command in commands] == [
        f"{verb} ssl cert /k/a.pem" for verb in ("abort", "del", "new", "set", "commit")
    ]
    assert [command.payload for command in commands if command.payload] == [
        "-----BEGIN A-----\nsecret\n-----END A-----\n"
    ]
    assert "secret" not in repr(commands)


def test_a_path_is_one_word() -> None:
    assert escape("/a b;c'd/e-1.pem") == "/a\\ b\\;c\\'d/e-1.pem"

"""Secret values out of text, streams and lines; real shells and encoders say how a value is spelt."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.parse

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imageforge.vault.mask import LineMask, Mask, MaskedLines, _spellings

TOKEN = "gh_p4/X+y'z\"w k$&é"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\nshort\n-----END KEY-----\n"

# Few letters, so that values contain, overlap and begin like one another.
small = st.text(alphabet="ab\n", min_size=4, max_size=7)
secrets = st.lists(small, max_size=4)
pieces = st.lists(st.text(alphabet="ab\n ", max_size=8), max_size=8)


def covered(secrets: list[str], text: str) -> list[bool]:
    """Which characters lie in an occurrence of a spelling: the definition, spelt out."""
    found = [False] * len(text)
    for spelling in (spelling for value in secrets for spelling in _spellings(value)):
        for start in range(len(text) - len(spelling) + 1):
            if text.startswith(spelling, start):
                found[start : start + len(spelling)] = [True] * len(spelling)
    return found


def revealed(masked: str) -> str:
    return masked.replace("***", "")


@given(secrets, st.text(alphabet="ab\n ", max_size=40))
def test_what_a_secret_covers_is_gone_and_nothing_else(values: list[str], text: str) -> None:
    kept = [sign for sign, hidden in zip(text, covered(values, text), strict=True) if not hidden]
    assert revealed(Mask(values).text(text)) == "".join(kept)


@given(secrets, pieces)
@example(["abab", "baab"], ["ab", "abaab"])
def test_a_stream_is_masked_the_same_wherever_it_is_cut(values: list[str], cut: list[str]) -> None:
    mask = Mask(values)
    stream = MaskedLines(mask)
    assert "".join([*map(stream.feed, cut), stream.close()]) == mask.text("".join(cut))


@given(secrets, st.lists(st.text(alphabet="ab\n ", max_size=12), max_size=8))
def test_a_stream_holds_back_only_what_could_become_a_secret(values: list[str], cut: list[str]) -> None:
    mask = Mask(values)
    stream = MaskedLines(mask)
    spellings = {spelling for value in values for spelling in _spellings(value)}
    fed = ""
    for piece in cut:
        fed += piece
        stream.feed(piece)
        tails = [fed[start:] for start in range(len(fed))]
        possible = [t for t in tails if any(s.startswith(t) and s != t for s in spellings)]
        assert stream._held == (possible[0] if possible else "")


@given(st.text(min_size=4, max_size=30), st.text(max_size=30), st.text(max_size=30), st.data())
def test_any_text_is_masked_in_any_cut(value: str, before: str, after: str, data: st.DataObject) -> None:
    mask = Mask([value])
    text = f"{before}{value}{after}"
    middle = data.draw(st.integers(0, len(text)))
    stream = MaskedLines(mask)
    assert stream.feed(text[:middle]) + stream.feed(text[middle:]) + stream.close() == mask.text(text)
    if not value.isspace():
        assert "***" in mask.text(text)


def over_lines(values: list[str], lines: list[str]) -> list[str]:
    """What LineMask is to give: every occurrence in three joined lines covers its part of each."""
    hidden = [[False] * len(line) for line in lines]
    for first in range(len(lines)):
        window = range(first, min(first + 3, len(lines)))
        flags = iter(covered(values, "".join(lines[number] for number in window)))
        for number in window:
            hidden[number] = [next(flags) or before for before in hidden[number]]
    return [
        "".join(sign for sign, gone in zip(line, flags, strict=True) if not gone)
        for line, flags in zip(lines, hidden, strict=True)
    ]


line_values = st.lists(st.text(alphabet="ab", min_size=4, max_size=7), max_size=4)
lines = st.lists(st.text(alphabet="ab ", max_size=5), max_size=9)


@settings(max_examples=100)
@given(line_values, lines)
@example(["aabb"], ["a", "", "abb"])
@example(["aaaabbbb", "aabb"], ["aa", "b", "b", "bb"])
def test_secrets_over_three_lines_are_masked_in_each(values: list[str], given_lines: list[str]) -> None:
    mask = LineMask(Mask(values))
    told: list[str] = []
    for number, line in enumerate(given_lines, 1):
        told += mask.feed(line)
        assert number - len(told) <= 2
    told += mask.close()
    assert list(map(revealed, told)) == over_lines(values, given_lines)


@given(line_values, lines)
def test_a_line_is_held_only_while_a_secret_could_go_on(values: list[str], given_lines: list[str]) -> None:
    mask = LineMask(Mask(values))
    spellings = {spelling for value in values for spelling in _spellings(value)}
    told = 0
    for number, line in enumerate(given_lines, 1):
        told += len(mask.feed(line))
        # The first of the lines that are held has a tail that goes on, over what follows, as a secret begins.
        if told < number:
            held = given_lines[told:number]
            tails = ["".join([held[0][start:], *held[1:]]) for start in range(len(held[0]))]
            assert any(s.startswith(tail) and s != tail for s in spellings for tail in tails)


def test_a_secret_over_two_lines() -> None:
    mask = LineMask(Mask(["correct-horse"]))
    assert mask.feed("all is well\n") == ["all is well\n"]
    assert mask.feed("it is correct") == []
    assert mask.feed("-horse, you see\r\n") == ["it is ***", "***, you see\r\n"]
    assert mask.close() == []


def test_a_secret_over_four_lines_is_out_of_reach_and_never_holds_three() -> None:
    mask = LineMask(Mask(["abababab"]))
    assert [mask.feed(line) for line in ("ab", "ab", "ab", "ab")] == [[], [], ["ab"], ["ab"]]
    assert mask.close() == ["ab", "ab"]


def test_a_value_of_several_lines_is_masked_line_by_line() -> None:
    mask = LineMask(Mask(["one\ntwo\nthree", KEY]))
    told = [line for given_line in ["x", "one", "two", "three", "y"] for line in mask.feed(given_line)]
    assert told + mask.close() == ["x", "***", "***", "***", "y"]
    text = Mask([KEY]).text(KEY.replace("\n", "\r\n  "))
    assert text.split() == ["***", "***", "***", "short", "***"]
    assert Mask([KEY]).text(f"<{KEY}>") == "<***>"


@pytest.mark.parametrize("value", ["", "abc", "     ", "\n\n\n\n\n"])
def test_short_and_blank_values_are_not_masked(value: str) -> None:
    assert Mask([value]).empty
    assert Mask([value]).text(f"x{value}y") == f"x{value}y"


def test_without_secrets_the_same_object_comes_back() -> None:
    mask, text, data = Mask([]), "".join(["a", "bcd"]), {"a": ["b"]}
    assert mask.empty
    assert mask.text(text) is text
    assert mask.data(data) is data
    assert MaskedLines(mask).feed(text) is text
    assert LineMask(mask).feed(text)[0] is text


def test_overlapping_secrets_become_one_and_the_longest_wins() -> None:
    mask = Mask(["secret", "secretive", "tive-man"])
    assert mask.text("a secretive-man, a secret.") == "a ***, a ***."
    assert mask.text("secretsecret") == "******"


def test_json_is_masked_through_and_through() -> None:
    mask = Mask(["hunter22", "hunter33"])
    data = {"hunter22": 1, "hunter33": [True, None, 1.5, "a hunter22"], "b": {"c": "hunter33!"}, 7: "x"}
    assert mask.data(data) == {"***": 1, "****": [True, None, 1.5, "a ***"], "b": {"c": "***!"}, 7: "x"}


def test_a_mask_does_not_show_its_secrets() -> None:
    assert repr(Mask(["hunter22"])) == "Mask(***)"


def test_spellings_of_json_urls_hex_and_base64() -> None:
    mask, raw = Mask([TOKEN]), TOKEN.encode()
    for spelt in (
        json.dumps(TOKEN),
        json.dumps(TOKEN, ensure_ascii=False),
        '"' + json.dumps(TOKEN, ensure_ascii=False)[1:-1].replace("&", "\\u0026") + '"',
        f"'{urllib.parse.quote(TOKEN, safe='')}'",
        f"'{urllib.parse.quote(TOKEN)}'",
        f"'{re.sub('%..', lambda found: found[0].lower(), urllib.parse.quote(TOKEN))}'",
        f"'{urllib.parse.urlencode({'': TOKEN})[1:]}'",
        f"'{raw.hex()}'",
        f"'{raw.hex().upper()}'",
        f"'{base64.b64encode(raw).decode()}'",
        f"'{base64.urlsafe_b64encode(raw).decode()}'",
        f"'{base64.urlsafe_b64encode(raw).decode().rstrip('=')}'",
    ):
        assert mask.text(f"<{spelt[1:-1]}>") == "<***>", spelt
    assert Mask(["O'Reilly\\x"]).text(repr("O'Reilly\\x")) == '"***"'


@given(st.binary(max_size=12), st.binary(max_size=12), st.booleans())
def test_base64_of_a_longer_text_that_holds_the_value(before: bytes, after: bytes, in_url: bool) -> None:
    encode = base64.urlsafe_b64encode if in_url else base64.b64encode
    value = "s3cr3t-t0k3n-ü?>"
    masked = Mask([value]).text(encode(before + value.encode() + after).decode())
    # At most two characters at each end share bits with their neighbours.
    kept, gone = len(revealed(masked)), len(value.encode()) * 8 // 6 - 2
    assert "***" in masked
    assert len(encode(before + value.encode() + after)) - kept >= gone


def test_base64_that_is_broken_into_lines() -> None:
    value = "".join(f"{number:x}!" for number in range(100))
    text = base64.encodebytes(value.encode()).decode()
    assert set(Mask([value]).text(text).split()) == {"***"}


@pytest.mark.parametrize(
    "script",
    [
        'set -x; : "$T" 2>&1',
        'printf "%q" "$T"',
        'declare -p T; T2="$T"; declare -p T2',
        'printf "%s" "${T@Q}"',
        'printf "%s" "$T" | base64 -w0',
        'printf "%s\\n" "$T" | base64 -w0',
        'printf "%s" "$T" | od -An -v -tx1 | tr -d " \\n"',
        'echo "$T" | tr -d "\\n"',
    ],
)
@pytest.mark.parametrize("value", ["pass word$1", "it's-a-secret", 'quo"te`d\\x', "two\nlines'here"])
def test_what_a_shell_makes_of_a_value(script: str, value: str) -> None:
    environ = {"T": value, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    shown = done.stdout + done.stderr
    masked = Mask([value]).text(shown)
    assert "***" in masked
    # Every word of the value is long enough to be told from what the shell says by itself.
    assert not any(word in masked for word in ("word", "secret", "d\\x", "lines", "here"))


def test_bytes_of_the_environment_that_are_no_text() -> None:
    value = b"pass\xffword".decode(errors="surrogateescape")
    assert Mask([value]).text(value.encode(errors="surrogateescape").hex()) == "***"
    assert Mask(["pass\ud800word"]).text("a pass\ud800word") == "a ***"


def test_many_secrets_with_long_common_beginnings() -> None:
    values = ["a" * length for length in range(4, 600)]
    assert Mask(values).text("b" + "a" * 1000 + "b") == "b***b"

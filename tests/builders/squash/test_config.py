"""The configuration after a squash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builders.squash.config import rewrite

from .layers import file, squash_layers, tar_of, whiteout

CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "created": "2024-05-01T00:00:00.5Z",
    "config": {
        "Labels": {"a": "<&>é"},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 7_000_000_000},
        "Entrypoint": ["/x"],
        "OnBuild": ["RUN y"],
        "Shell": ["/bin/bash", "-c"],
        "StopSignal": "SIGQUIT",
    },
    "x-unknown": {"kept": [1, None, 2.5]},
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": ["b", "x", "y"]},
    "history": [
        {"created": "1", "created_by": "base"},
        {"created": "2", "created_by": "ENV", "empty_layer": True},
        {"created": "3", "created_by": "RUN x"},
        {"created": "4", "created_by": "RUN y", "author": "me"},
        {"created": "5", "created_by": "CMD", "empty_layer": True},
    ],
}


def rewritten(**arguments: Any) -> dict[str, Any]:
    return dict(json.loads(rewrite(CONFIG, **arguments)))


def test_everything_but_layers_and_history_stays() -> None:
    after = rewritten(start=1, diff_ids=["b", "m"])
    assert {**after, "history": 0, "rootfs": 0} == {**CONFIG, "history": 0, "rootfs": 0}
    assert list(after) == list(CONFIG)
    assert after["rootfs"] == {"type": "layers", "diff_ids": ["b", "m"]}


def test_merged_entries_become_empty_and_one_carries_the_layer() -> None:
    history = rewritten(start=1, diff_ids=["b", "m"])["history"]
    assert [entry["created_by"] for entry in history] == ["base", "ENV", "RUN x", "RUN y", "imageforge squash", "CMD"]
    assert [bool(entry.get("empty_layer")) for entry in history] == [False, True, True, True, False, True]
    assert history[4] == {"created": "4", "created_by": "imageforge squash", "comment": "layers 2 to 3 merged into one"}
    assert history[3]["author"] == "me"


def test_a_merge_to_nothing_has_no_entry_of_its_own() -> None:
    history = rewritten(start=1, diff_ids=["b"])["history"]
    assert sum(not entry.get("empty_layer") for entry in history) == 1


def test_a_history_that_does_not_fit_is_left_out() -> None:
    config = {**CONFIG, "history": CONFIG["history"][:3]}
    assert "history" not in json.loads(rewrite(config, start=1, diff_ids=["b", "m"]))
    assert "history" not in json.loads(rewrite({**CONFIG, "history": None}, start=1, diff_ids=["b", "m"]))


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert rewrite(CONFIG, start=0, diff_ids=["m"]) == rewrite(CONFIG, start=0, diff_ids=["m"])


def test_the_layout_has_as_many_layers_as_its_history(tmp_path: Path) -> None:
    raws = [tar_of([file("a")]), tar_of([file("b")]), tar_of([whiteout("b")])]
    history = [{"created_by": name} for name in "abc"]
    for start, layers in ((0, 1), (1, 1)):
        result = squash_layers(tmp_path / str(start), raws, start=start, config={"history": history})
        after = result.config["history"]
        assert isinstance(after, list)
        assert sum(not entry.get("empty_layer") for entry in after) == layers == result.image.layers_after

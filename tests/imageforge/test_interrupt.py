"""Ctrl-C and SIGTERM are heard wherever they come, also in the middle of a wait for them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from imageforge.pipeline.interrupt import Cancellation, cancelled_by_interrupt

WAITING = """
import os, signal, sys, threading
from imageforge.pipeline.interrupt import cancelled_by_interrupt

sys.setswitchinterval(0.00001)
for turn in range(400):
    with cancelled_by_interrupt() as cancelled:
        sent = threading.Timer(0.0005 + turn * 0.000003, os.kill, (os.getpid(), signal.SIGINT))
        try:
            sent.start()
            while not cancelled.wait(0):
                pass
        except KeyboardInterrupt:
            pass
    sent.join()
    assert cancelled.is_set(), turn
"""


def test_a_signal_in_the_middle_of_a_wait_is_heard() -> None:
    """An event with a lock, which the waiting thread holds as the handler runs, would never be set."""
    subprocess.run([sys.executable, "-c", WAITING], timeout=90, check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with cancelled_by_interrupt() as cancelled:
        assert not cancelled.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert cancelled.is_set()
    assert signal.getsignal(number) is before


def test_who_waits_goes_on_once_it_is_cancelled() -> None:
    cancelled = Cancellation()
    begun = time.monotonic()
    assert not cancelled.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    heard: list[bool] = []
    waiting = threading.Thread(target=lambda: heard.append(cancelled.wait()))
    waiting.start()
    cancelled.set()
    waiting.join(30)
    assert heard == [True]
    assert cancelled.wait(0)
    cancelled.clear()
    assert not cancelled.wait(0)

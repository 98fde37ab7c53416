"""Tells the time, once a minute, to nobody in particular."""

from __future__ import annotations

import time

while True:
    print(time.strftime("%H:%M"), flush=True)
    time.sleep(60)

"""Runs a command and writes what it took as JSON: ``python -I -S launcher.py RESULT COMMAND…``.

A process of its own, because what a command holds of memory is counted from its fork on: the most that its parent held
would be its least. This one imports as little as can be.
"""

import os
import sys
import time


def main(result: str, command: list[str]) -> int:
    """The command's exit code."""
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    # It stays readable until it is waited for.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - began
    with open(f"/proc/{child}/io") as file:  # noqa: PTH123 - pathlib is half of this process
        found = dict(line.split(": ") for line in file.read().splitlines())
    _, status, usage = os.wait4(child, 0)
    with open(result, "w") as file:  # noqa: PTH123
        file.write(
            f'{{"seconds": {seconds}, "processor": {usage.ru_utime + usage.ru_stime}, '
            f'"memory": {usage.ru_maxrss * 1024}, "read": {found["rchar"]}, "written": {found["write_bytes"]}}}'
        )
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

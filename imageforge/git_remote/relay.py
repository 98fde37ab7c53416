"""The program of a hook, as git starts it: ``python -I -S relay.py HOOK SOCKET``. Imports little, for it is waited for.

It hands the work to the runner. Where there is none, it becomes the program that does it.
"""

import json
import os
import socket
import sys

STREAMS = 3
LARGEST = 1 << 20
ENDED = "error[service-stopped]: the push: the service ended in the middle of it\n  hint: push again in a moment\n"


def main() -> int:
    """Gives the hook's exit code."""
    hook, path = sys.argv[1], sys.argv[2]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        os.execv(sys.executable, [sys.executable, "-m", "imageforge.git_remote", hook])  # noqa: S606 - our own program
    asked = {
        "hook": hook,
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes as long to import as all else here
        "environ": dict(os.environ),
        "parent": os.getppid(),
    }
    data = json.dumps(asked).encode() + b"\n"
    try:
        sent = socket.send_fds(connection, [data], list(range(STREAMS)))
        connection.sendall(data[sent:])
        code = connection.recv(1)
    except OSError:  # it ended before it took us in
        code = b""
    if not code:
        sys.stderr.write(ENDED)
        return 1
    return code[0]


if __name__ == "__main__":
    sys.exit(main())

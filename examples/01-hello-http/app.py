"""An HTTP service that says which replica answered. Python's standard library only."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPLICA = socket.gethostname()


class Hello(BaseHTTPRequestHandler):
    """GET / greets, GET /healthz answers `ok`; everything else is not found."""

    protocol_version = "HTTP/1.1"  # keep-alive, as a balancer expects
    # One segment an answer: headers and body apart would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        answers = {"/": f"hello from {REPLICA}\n", "/healthz": "ok\n"}
        body = answers.get(self.path.split("?")[0])
        self.send_response(200 if body else 404)
        payload = (body or "not found\n").encode()
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Replica", REPLICA)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        if self.path != "/healthz":
            sys.stdout.write(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}\n")
            sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """Answers what it has accepted before it ends."""

    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        # A balancer ends its idle connections with a reset, which is no error of anybody's.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve on 0.0.0.0:$PORT until SIGTERM."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(("0.0.0.0", port), Hello)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"{REPLICA} listens on {port}\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()

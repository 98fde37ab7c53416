"""Answers every request, and ends when it is told to."""

from __future__ import annotations

import http.server
import os
import signal
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    """The same for everybody."""

    def do_GET(self) -> None:
        body = b"all right\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()

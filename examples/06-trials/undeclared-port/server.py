"""As all-right, and has a console on a port that EXPOSE does not name."""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading


class Answer(http.server.BaseHTTPRequestHandler):
    """The same for everybody."""

    def do_GET(self) -> None:
        body = b"all right\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


console = http.server.HTTPServer(("0.0.0.0", 9090), Answer)
threading.Thread(target=console.serve_forever, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()

"""As all-right, but for SIGTERM, which the first process of a container only gets if it asks for it."""

from __future__ import annotations

import http.server
import os


class Answer(http.server.BaseHTTPRequestHandler):
    """The same for everybody."""

    def do_GET(self) -> None:
        body = b"all right\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()

"""A web application of one file: answers with its host name, and misbehaves when told to by its environment."""

import http.server
import os
import signal
import socket
import sys
import threading
import time

HOST = os.environ.get("LISTEN", "0.0.0.0")
PORT = int(os.environ.get("PORT", "8080"))
VERSION = os.environ.get("VERSION", "1")
NAME = socket.gethostname()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(0.5)
        status = 500 if self.path.startswith("/broken") else 200
        body = f"{NAME} {VERSION} {self.headers.get('X-Forwarded-For', '')}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if not self.path.startswith("/ready"):
            print("served", self.path, flush=True)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        """A balancer that closes an idle connection is no error."""


if os.environ.get("CRASH"):
    print("about to crash", file=sys.stderr, flush=True)
    sys.exit(int(os.environ["CRASH"]))

server = Server((HOST, PORT), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("listening", VERSION, flush=True)
server.serve_forever()

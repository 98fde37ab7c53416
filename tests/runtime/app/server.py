"""A web application of one file: answers with its host name, and misbehaves when told to by its environment."""

import hashlib
import http.server
import json
import os
import pathlib
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
        if self.path == "/secrets":
            body = json.dumps(secrets()).encode()
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


def secrets():
    """Proof of what it was given, which is not the thing itself."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("SECRET")}
    folder = os.environ.get("FOLDER", "/nowhere")
    files = {}
    for path in sorted(pathlib.Path(folder).glob("[!.]*")):
        files[path.name] = [hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode & 0o777]
    writable = os.access(folder, os.W_OK)
    proofs = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in variables.items()}
    return {"variables": proofs, "files": files, "writable": writable, "user": os.getuid()}


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        """A balancer that closes an idle connection is no error."""


if os.environ.get("CRASH"):
    print("about to crash", *filter(None, [os.environ.get("SECRET_A")]), file=sys.stderr, flush=True)
    sys.exit(int(os.environ["CRASH"]))

server = Server((HOST, PORT), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("listening", VERSION, flush=True)
server.serve_forever()

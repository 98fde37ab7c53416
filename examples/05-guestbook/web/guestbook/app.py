"""The web tier. It keeps nothing itself, so that any replica can answer any request."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import redis
from flask import Flask, Response, redirect, render_template, request
from werkzeug.exceptions import BadRequest, ServiceUnavailable
from werkzeug.wrappers import Response as AnyResponse

ENTRIES = "guestbook:entries"
LONGEST_NAME, LONGEST_TEXT = 40, 500


def create_app() -> Flask:
    """The WSGI application; where its store is and what its page says come from the environment and a file."""
    app = Flask("guestbook")
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    replica = socket.gethostname()
    kept = int(os.environ.get("KEPT", "100"))
    page_file = Path(os.environ.get("PAGE_FILE", "/etc/guestbook/page.json"))
    store = redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "6379")),
        password=os.environ["REDIS_PASSWORD"],
        socket_timeout=2,
        socket_connect_timeout=2,
        decode_responses=True,
    )

    @app.after_request
    def name_the_replica(response: Response) -> Response:
        response.headers["X-Replica"] = replica
        return response

    @app.errorhandler(redis.RedisError)
    def say_that_the_store_is_away(_: redis.RedisError) -> tuple[str, int]:
        return "The store does not answer; try again in a moment.\n", ServiceUnavailable.code

    @app.get("/livez")
    def lives() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def ready() -> Response:
        store.ping()
        return Response("ok\n", mimetype="text/plain")

    @app.get("/")
    def page() -> str:
        # Read at each request: a ConfigMap that is a volume changes under a running container.
        said = json.loads(page_file.read_text(encoding="utf-8"))
        entries = [json.loads(entry) for entry in store.lrange(ENTRIES, 0, kept - 1)]
        return render_template("page.html", said=said, entries=entries, replica=replica)

    @app.post("/")
    def sign() -> AnyResponse:
        name, text = (request.form.get(field, "").strip() for field in ("name", "text"))
        if not 0 < len(name) <= LONGEST_NAME or not 0 < len(text) <= LONGEST_TEXT:
            raise BadRequest(f"a name of 1 to {LONGEST_NAME} characters and a text of 1 to {LONGEST_TEXT}")
        entry = {"name": name, "text": text, "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}
        with store.pipeline() as both:
            both.lpush(ENTRIES, json.dumps(entry)).ltrim(ENTRIES, 0, kept - 1).execute()
        return redirect("/", code=303)

    return app

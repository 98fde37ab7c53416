"""The HTTP side: JSON in, JSON out, and an answer for every mistake."""

from __future__ import annotations

import socket
from dataclasses import asdict

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from textstats.statistics import measure

LARGEST_BODY = 1024 * 1024
MOST_WORDS = 100


def create_app() -> Flask:
    """The WSGI application."""
    app = Flask("textstats")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json.sort_keys = False
    replica = socket.gethostname()

    @app.after_request
    def name_the_replica(response: Response) -> Response:
        response.headers["X-Replica"] = replica
        return response

    @app.errorhandler(HTTPException)
    def say_what_is_wrong(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.name, detail=error.description), error.code or 500

    @app.get("/healthz")
    def health() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/")
    def about() -> Response:
        return jsonify(service="textstats", usage='POST /v1/statistics {"text": "…", "top": 5}')

    @app.post("/v1/statistics")
    def statistics() -> tuple[Response, int]:
        body = request.get_json()
        text = body.get("text") if isinstance(body, dict) else None
        top = body.get("top", 5) if isinstance(body, dict) else None
        if not isinstance(text, str):
            return jsonify(error="Bad Request", detail="`text` is missing or no string"), 400
        if not isinstance(top, int) or isinstance(top, bool) or not 0 <= top <= MOST_WORDS:
            return jsonify(error="Bad Request", detail=f"`top` is no number from 0 to {MOST_WORDS}"), 400
        found = asdict(measure(text, top=top))
        found["top"] = [{"word": word, "count": count} for word, count in found["top"]]
        return jsonify(found), 200

    return app

"""Text statistics over HTTP: stateless, so that any replica can answer any request."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter

from flask import Flask, Response, jsonify, request

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
WORDS_PER_MINUTE = 238
"""Silent reading of English non-fiction (Brysbaert 2019, doi:10.1016/j.jml.2019.104047)."""
LARGEST_TEXT = 1_000_000

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = LARGEST_TEXT


@app.get("/")
def index() -> Response:
    """What this service does."""
    return jsonify(service="text statistics", replica=socket.gethostname(), usage="POST /v1/statistics with a text")


@app.get("/healthz")
def health() -> Response:
    """Ready to answer."""
    return jsonify(status="ok")


@app.post("/v1/statistics")
def statistics() -> tuple[Response, int] | Response:
    """Counts of the text in the body, which is plain UTF-8."""
    try:
        text = request.get_data(cache=False).decode()
    except UnicodeDecodeError:
        return jsonify(type="about:blank", title="the body is not UTF-8", status=400), 400
    words = [word.lower() for word in WORD.findall(text)]
    return jsonify(
        characters=len(text),
        words=len(words),
        sentences=len(re.findall(r"[.!?…]+(?=\s|$)", text)),
        distinct_words=len(set(words)),
        most_common=Counter(words).most_common(5),
        reading_seconds=round(len(words) / WORDS_PER_MINUTE * 60, 1),
        greeting=os.environ.get("GREETING", ""),
    )

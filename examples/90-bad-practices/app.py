"""Answers every request with the time. The program is fine; it is the Dockerfile that is not."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from flask import Flask

app = Flask(__name__)


@app.get("/")
def now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}\n"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))

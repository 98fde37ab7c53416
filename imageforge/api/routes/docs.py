"""The page at /docs: Swagger UI over the OpenAPI document, from files that come with the package fastapi-swagger.

Its own page, for the one that FastAPI makes asks another server for the scripts and has one of its own inside: the page
would be blank on a machine without internet, and no policy could tell that script from a stranger's.
"""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse, HTMLResponse

router = APIRouter(include_in_schema=False)

FILES = resources.files("fastapi_swagger.resources")
TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
CACHED = "max-age=3600"
"""An upgrade of imageforge may bring other files under the same names, so an hour is enough."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>imageforge: the API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api">This page needs JavaScript. The same in JSON: <a href="/openapi.json">/openapi.json</a>.</div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# The validator is a server elsewhere, which would be told the address of this one.
START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""


@router.get("/docs")
def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE)


@router.get("/docs/start.js")
def start() -> Response:
    """What starts it."""
    return Response(START, media_type="text/javascript", headers={"Cache-Control": CACHED})


@router.get("/docs/{name}")
def file(name: str) -> FileResponse:
    """A file of Swagger UI's; no other of its package."""
    if name not in TYPES:
        raise HTTPException(404)
    return FileResponse(str(FILES / name), media_type=TYPES[name], headers={"Cache-Control": CACHED})

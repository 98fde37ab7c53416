"""The OpenAPI document: FastAPI's own, with the schemas that routes name without being given one."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from imageforge.api.schemas import NewBuild, OptionsBody, Problem

REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Have this application describe itself so."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        named = [(model, "validation") for model in (NewBuild, OptionsBody, Problem)]
        _, schemas = models_json_schema(named, ref_template=REFERENCE)  # type: ignore[arg-type]
        document["components"]["schemas"] |= schemas["$defs"]
        return document

    app.openapi = described  # type: ignore[method-assign]

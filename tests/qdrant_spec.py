"""Qdrant's own OpenAPI file, where it is given: what a request and an answer must look like."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

SPEC = Path(__file__).parents[2] / "shared" / "contracts" / "qdrant-openapi-1.19.json"


@cache
def _spec() -> Any:
    return json.loads(SPEC.read_text(encoding="utf-8"))


@cache
def _template(method: str, path: str) -> str:
    for template, methods in _spec()["paths"].items():
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
        # A fixed name ("/collections/aliases") wins over a parameter.
        if method.lower() in methods and (template == path or re.fullmatch(pattern, path)):
            if template != path and path in _spec()["paths"]:
                continue
            return str(template)
    raise AssertionError(f"{method} {path} is not in Qdrant's OpenAPI file")


def validator_of(method: str, path: str, part: str) -> Any:
    """Return what checks a request's body or an answer of Qdrant's."""
    return _template_validator(method, _template(method, path), part)


@cache
def _template_validator(method: str, template: str, part: str) -> Any:
    from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator

    operation = _spec()["paths"][template][method.lower()]
    found = operation[part] if part == "requestBody" else operation[part]["200"]
    schema = found["content"]["application/json"]["schema"]
    kind = OAS30WriteValidator if part == "requestBody" else OAS30ReadValidator
    return kind({**schema, "components": _spec()["components"]})

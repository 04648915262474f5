"""/api/ : the API explained, drawn from its own schema, as the usual viewers know neither our themes nor our CSP."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.api import api

Schema = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Parameter:
    name: str
    place: str
    kind: str
    is_required: bool


@dataclasses.dataclass(frozen=True)
class Operation:
    """body, answer: the JSON schemas as texts, with what they refer to filled in."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Subject:
    name: str
    operations: list[Operation]


@require_safe
def api_reference(request: HttpRequest) -> HttpResponse:
    return render(request, "annotation/api_reference.html", {"subjects": subjects(api.schema())})


def subjects(schema: Schema) -> list[Subject]:
    """The operations by subject, in the order of the schema."""
    by_tag: dict[str, list[Operation]] = {}
    models = schema["components"]["schemas"]
    for path, operations in schema["paths"].items():
        for method, details in operations.items():
            by_tag.setdefault(details["tags"][0], []).append(operation(path, method, details, models))
    return [Subject(name, found) for name, found in by_tag.items()]


def operation(path: str, method: str, details: Schema, models: Schema) -> Operation:
    answered = details["responses"].get(200, details["responses"].get(204, {}))
    return Operation(
        id=details["operationId"],
        method=method.upper(),
        path=path,
        summary=details["summary"],
        description=details.get("description", ""),
        parameters=[parameter(given, models) for given in details.get("parameters", [])],
        body=shape_of(details.get("requestBody", {}), models),
        answer=shape_of(answered, models),
    )


def parameter(given: Schema, models: Schema) -> Parameter:
    return Parameter(given["name"], given["in"], kind_of(given["schema"], models), given["required"])


def kind_of(schema: Schema, models: Schema) -> str:
    """A type in a word or two, with the values it may have."""
    schema = resolved(schema, models)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(kind_of(option, models) for option in schema["anyOf"] if option.get("type") != "null")
    return str(schema.get("format") or schema.get("type", ""))


def shape_of(message: Schema, models: Schema) -> str:
    schema = message.get("content", {}).get("application/json", {}).get("schema")
    return json.dumps(shape(schema, models), indent=2, ensure_ascii=False) if schema else ""


def shape(schema: Schema, models: Schema) -> Any:
    """How a value looks, with its types where the values would stand."""
    schema = resolved(schema, models)
    options = schema.get("oneOf") or [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if options:
        shapes = [shape(option, models) for option in options]
        return shapes[0] if len(shapes) == 1 else {"one of": shapes}
    if "const" in schema:
        return schema["const"]
    if "properties" in schema:
        return {name: shape(inner, models) for name, inner in schema["properties"].items()}
    if schema.get("type") == "array":
        inner = schema.get("prefixItems") or [schema.get("items", {})]
        return [shape(item, models) for item in inner]
    return kind_of(schema, models)


def resolved(schema: Schema, models: Schema) -> Schema:
    return models[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

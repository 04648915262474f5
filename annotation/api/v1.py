"""Version 1 of the API put together: its operations, its problems, its schema."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from annotation.api import content, exports, judgments, labelling, projects, tasks
from annotation.api.problems import MEDIA_TYPE, ProblemOut, install, not_found, respond
from annotation.api.values import BodyParser

DESCRIPTION = """\
What the pages do, for programs. Send a token with each request: `Authorization: Bearer plb_…`. A token never has more
rights than its user. Lists come in pages: send `next_cursor` as `cursor` for what follows. Errors are
`application/problem+json` (RFC 9457).
"""
PROBLEMS = {
    401: "No token, or one that is not valid.",
    403: "The token's scope or its user's role does not reach so far.",
    404: "No such thing, or nothing this token reaches.",
    413: "The body is too large.",
    422: "Some values will not do.",
    429: "Too many requests in this minute; Retry-After says how long to wait.",
}


class Api(NinjaAPI):
    @functools.cache  # noqa: B019  there is one for each process, and it lives as long
    def schema(self) -> dict[str, Any]:
        return documented(self.get_openapi_schema(path_prefix="/api/v1/"))


def documented(schema: OpenAPISchema) -> dict[str, Any]:
    """Says of each operation which problems it may answer with: the same for all, so it is said once, here."""
    schema["components"]["schemas"]["Problem"] = ProblemOut.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schema["components"]["schemas"].update(schema["components"]["schemas"]["Problem"].pop("$defs", {}))
    content_of = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, description in {400: "The body cannot be read.", **PROBLEMS}.items():
                operation["responses"].setdefault(status, {"description": description, "content": content_of})
    return dict(schema)


api = Api(
    title="Plumbline",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    docs_url=None,
    openapi_url=None,
    parser=BodyParser(),
)
install(api)
for router in (projects.router, content.router, tasks.router, judgments.router, exports.router, labelling.router):
    api.add_router("", router)


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The schema (OpenAPI 3.1), for clients and their generators; it tells of the product, not of a project."""
    return JsonResponse(api.schema())


@csrf_exempt
def unknown(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Any other address under /api/: a program gets a problem, not a page."""
    return respond(not_found())

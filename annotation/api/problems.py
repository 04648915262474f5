"""What went wrong, as application/problem+json (RFC 9457): a status, a sentence, and for bad input where it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError

MEDIA_TYPE = "application/problem+json"


class WrongValue(Schema):
    """One value that will not do. path: where it stands, such as body.prompts[3].messages."""

    path: str
    detail: str


class ProblemOut(Schema):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[WrongValue] = []


class Problem(Exception):
    """Ends the request with this status and sentence."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers or {}


@contextlib.contextmanager
def refused(path: str = "body") -> Iterator[None]:
    """Around a verb or a door: its ValueError is a sentence for the one who asked."""
    try:
        yield
    except ValueError as error:
        raise Problem(422, str(error), errors=[(path, str(error))]) from None


def respond(problem: Problem) -> HttpResponse:
    body = ProblemOut(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        errors=[WrongValue(path=path, detail=detail) for path, detail in problem.errors],
    )
    return JsonResponse(
        body.model_dump(), status=problem.status, content_type=MEDIA_TYPE, headers=dict(problem.headers)
    )


def unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="plumbline"'})


def not_found() -> Problem:
    return Problem(404, _("There is no such thing here, or this token does not reach it."))


def install(api: NinjaAPI) -> None:
    """Whatever an operation raises leaves as a problem; a bug is left to Django, which logs it and answers 500."""

    @api.exception_handler(Problem)
    def on_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
        return respond(problem)

    @api.exception_handler(AuthenticationError)
    def on_no_token(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return respond(unauthorized(_("Send a token: “Authorization: Bearer plb_…”.")))

    @api.exception_handler(PermissionDenied)
    def on_denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return respond(Problem(403, str(error) or _("You may not do this.")))

    @api.exception_handler(Http404)
    def on_missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return respond(not_found())

    @api.exception_handler(HttpError)
    def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        # Of a body that cannot be read, the cause is the parser's own sentence.
        cause = error.__cause__
        return respond(Problem(error.status_code, str(cause) if isinstance(cause, ValueError) else str(error)))

    @api.exception_handler(ValidationError)
    def on_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [(path_of(wrong["loc"]), str(wrong["msg"])) for wrong in error.errors]
        return respond(Problem(422, _("Some values will not do: see “errors”."), errors=errors))


def path_of(location: Sequence[Any]) -> str:
    """("body", "body", "prompts", 3, "messages") → body.prompts[3].messages"""
    place, *parts = location
    if place == "body":
        parts = parts[1:]  # the name of the function's argument
    path = str(place)
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path

"""The least a page can do: one SELECT, or one INSERT, on the same server and through the same middleware."""

from __future__ import annotations

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

TABLE = """
CREATE TABLE IF NOT EXISTS benchmark_ceiling (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, choice text NOT NULL, at timestamptz NOT NULL DEFAULT now()
)
"""


def login(request: HttpRequest) -> HttpResponse:
    """Where a start is waited for."""
    return HttpResponse()


def select(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM annotation_response WHERE id = (SELECT min(id) FROM annotation_response)")
        (text,) = cursor.fetchone()
    return HttpResponse(text)


@csrf_exempt
def insert(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO benchmark_ceiling (choice) VALUES (%s)", [request.POST["choice"]])
    return HttpResponse()


urlpatterns = [path("login/", login), path("select/", select), path("insert/", insert)]

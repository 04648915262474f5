"""A program: a token and requests with it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from annotation import actions
from annotation.models import Project, User


class Program:
    """What holds a token. `get`, `post` and `patch` return (status, what the JSON says)."""

    def __init__(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = Client(enforce_csrf_checks=True)

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        return read(self.client.get(f"/api/v1/{path}", query, headers=self.headers))

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self.send("post", path, body)

    def patch(self, path: str, body: Any) -> tuple[int, Any]:
        return self.send("patch", path, body)

    def send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        response = getattr(self.client, method)(
            f"/api/v1/{path}", data, content_type="application/json", headers=self.headers
        )
        return read(response)


def read(response: Any) -> tuple[int, Any]:
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json", response.content
        assert response.json()["status"] == response.status_code
    return response.status_code, response.json() if response.content else None


Programs = Callable[..., Program]


@pytest.fixture
def program() -> Programs:
    def of(user: User, *scopes: str, project: Project | None = None) -> Program:
        names = scopes or ("read", "write", "annotate")
        return Program(actions.create_token(user, name="a test", scopes=names, project=project).token)

    return of

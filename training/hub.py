"""A version's files on a model hub: its card and its artifact, in one commit.

The token stands in the environment (HF_TOKEN), for the web process and the workers alike; it is never kept in the
database. What the hub says against it reaches the person as a sentence.
"""

from __future__ import annotations

import httpx2
from django.conf import settings
from django.utils.translation import gettext as _
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from training import artifacts
from training.model_card import markdown
from training.models import ModelVersion


def check(version: ModelVersion, *, repo_id: str) -> None:
    """ValueError with a sentence unless this could be sent there."""
    if not settings.HUB_TOKEN:
        raise ValueError(
            _("There is no token for the hub: set HF_TOKEN where the site and its workers start, and restart.")
        )
    if version.revision:
        raise ValueError(_("%(version)s is a model of a hub already: it has no files here.") % {"version": version})
    try:
        validate_repo_id(repo_id)
        is_valid = repo_id.count("/") == 1
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise ValueError(
            _("“%(repo)s” is no name for a repository: write it as owner/name, with letters, digits, -, _ and . only.")
            % {"repo": repo_id}
        )


def push(version: ModelVersion, *, repo_id: str, is_private: bool) -> str:
    """Send the version and return the address of its commit; ValueError with a sentence when it cannot be."""
    check(version, repo_id=repo_id)
    artifacts.verify(version)
    api = HfApi(endpoint=settings.HUB_ENDPOINT, token=settings.HUB_TOKEN)
    files = sorted(path for path in version.folder.rglob("*") if path.is_file())
    operations = [
        CommitOperationAdd(path_in_repo="README.md", path_or_fileobj=markdown(version).encode()),
        *(
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=file)
            for file in files
            if (name := file.relative_to(version.folder).as_posix()) != "README.md"
        ),
    ]
    try:
        api.create_repo(repo_id, private=is_private, exist_ok=True)
        commit = api.create_commit(repo_id, operations, commit_message=f"{version.name} ({version.checksum[:12]})")
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise ValueError(
            _("The hub refused it (%(status)s): %(said)s Check the token's rights and the repository's name.")
            % {"status": status, "said": (error.server_message or str(error)).splitlines()[0]}
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise ValueError(
            _("The hub at %(address)s could not be reached (%(error)s): try again later.")
            % {"address": settings.HUB_ENDPOINT, "error": type(error).__name__}
        ) from error
    return str(commit.commit_url)

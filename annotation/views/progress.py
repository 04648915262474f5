"""/progress/<work>/ : how far a work of that name is. A part of the page that waits for it."""

from __future__ import annotations

import re

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from annotation.progress import Work, read
from annotation.views.access import PersonRequest, person_required

MOST_QUESTIONS = 60
"""After so many, a second apart, a page that stays gives up on work that never began."""
MOST_FOR_FIGURES = 15
"""They are counted in a request of the same page, sent a moment before: without a word by then it has failed."""
MARK = re.compile("[0-9a-f]{40}")


@person_required
@require_safe
def progress(request: PersonRequest, work: str) -> HttpResponse:
    """One's own work, or figures under their mark.

    The address says `stays` where the page stays when the work is over (a download), and how often it has asked.
    """
    if work not in [known.value for known in Work]:
        raise Http404
    if not request.htmx:
        return redirect("annotation:home")
    mark = marked(request) if work == Work.FIGURES else ""
    found = read(Work(work), mark or request.user)
    asked = request.GET.get("asked", "")
    num_asked = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 0
    stays = "stays" in request.GET
    is_over = stays and (found.is_over if found else num_asked >= MOST_QUESTIONS)
    said = f"mark={mark}&" if mark else "stays&" if stays else ""
    context = {
        "work": work,
        "progress": None if found and found.is_over else found,
        "is_over": is_over,
        "has_stopped": bool(mark) and not found and num_asked >= MOST_FOR_FIGURES,
        "query": f"{said}asked={num_asked + 1}",
    }
    return render(request, "_progress.html", context)


def marked(request: PersonRequest) -> str:
    mark = request.GET.get("mark", "")
    if not MARK.fullmatch(mark):
        raise Http404
    return mark

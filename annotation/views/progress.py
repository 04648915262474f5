"""/progress/<work>/ : how far one's own work of that name is. A part of the page that waits for it."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from annotation.progress import Work, read
from annotation.views.access import PersonRequest, person_required

MOST_QUESTIONS = 60
"""After so many, a second apart, a page that stays gives up on work that never began."""


@person_required
@require_safe
def progress(request: PersonRequest, work: str) -> HttpResponse:
    """The address says `stays` where the page stays when the work is over (a download), and how often it has asked."""
    if work not in [known.value for known in Work]:
        raise Http404
    if not request.htmx:
        return redirect("annotation:home")
    found = read(Work(work), request.user)
    asked = request.GET.get("asked", "")
    num_asked = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 0
    stays = "stays" in request.GET
    is_over = stays and (found.is_over if found else num_asked >= MOST_QUESTIONS)
    context = {
        "work": work,
        "progress": None if found and found.is_over else found,
        "is_over": is_over,
        "query": f"{'stays&' if stays else ''}asked={num_asked + 1}",
    }
    return render(request, "_progress.html", context)

"""Chats: /projects/<slug>/chat/ begins one and lists them; a chat's page shows the answers as they are written.

A page asks again twice a second while something is written, so no connection is held.
"""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from training import actions
from training.chat_forms import ChatForm
from training.chat_page import ChatPage
from training.models import Chat, ChatTurn
from training.tasks import write_answer
from training.views.requests import PersonRequest, asked_number, find_project

PAGE_SIZE = 25
HAS_STOPPED = 286
"""Tells htmx that nothing will change any more, and to stop asking."""


def find_chat(request: PersonRequest, slug: str, pk: int) -> Chat:
    """404 for strangers and for somebody else's chat; 403 for a member below a reviewer. Admins see everybody's."""
    project = find_project(request, slug)
    return get_object_or_404(Chat.objects.visible_to(request.user).with_versions(), pk=pk, project=project)


def find_turn(request: PersonRequest, slug: str, pk: int) -> ChatTurn:
    """The turn that the form names; one that is not there is none of this chat's."""
    chat = find_chat(request, slug, pk)
    return get_object_or_404(
        ChatTurn.objects.select_related("chat__project"), chat=chat, number=asked_number(request.POST, "number") or 0
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def chats(request: PersonRequest, slug: str) -> HttpResponse:
    """One's own chats, for an admin everybody's, and the form of a new one."""
    project = find_project(request, slug)
    asked = {name: asked_number(request.GET, name) for name in ("a", "b")}
    form = ChatForm(request.POST or None, project=project, initial={name: pk for name, pk in asked.items() if pk})
    if request.method == "POST" and form.is_valid():
        try:
            chat = actions.start_chat(project, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            _send(chat.turns.get())
            return redirect(chat)
    listed = Chat.objects.visible_to(request.user).filter(project=project).with_versions()
    listed = listed.annotate(num_turns=Count("turns"), num_votes=Count("turns", filter=Q(turns__task__isnull=False)))
    listed = listed.order_by("-updated_at", "-id")  # a query that counts forgets the model's own order
    listed = listed.prefetch_related(Prefetch("turns", ChatTurn.objects.filter(number=1), to_attr="first"))
    page = Paginator(listed, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"project": project, "role": project.role_of(request.user), "form": form, "page": page}
    return render(request, "training/chats.html", context, status=422 if form.is_bound else 200)


@login_required
@require_safe
def chat(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    found = find_chat(request, slug, pk)
    actions.close_lost(found)
    page = ChatPage(found, request.user)
    if request.htmx:
        return _news(request, page)
    actions.note_reader(found, by=request.user)
    return render(request, "training/chat.html", {"page": page, "chat": found, "turn": page.last})


def _news(request: PersonRequest, page: ChatPage) -> HttpResponse:
    """What has changed in the last turn since the state that the page shows; 204: nothing."""
    seen, last = request.GET.get("seen", ""), page.last
    if not seen.startswith(f"{last.row.number}-"):  # the chat went on in another tab
        return HttpResponse(headers={"HX-Refresh": "true"})
    if seen == last.state and last.is_live:
        return HttpResponse(status=204)
    context = {"page": page, "chat": page.chat, "turn": last, "is_new_phase": seen.partition("~")[0] != last.phases}
    return render(request, "training/chat.html#news", context, status=200 if last.is_live else HAS_STOPPED)


@login_required
@require_POST
def chat_say(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    found = find_chat(request, slug, pk)
    number, text = asked_number(request.POST, "number") or 0, request.POST.get("text", "")
    try:
        turn = actions.say(found, by=request.user, text=text, number=number)
    except ValueError as error:
        page = ChatPage(found, request.user)
        context = {"page": page, "chat": found, "turn": page.last, "typed": text, "refusal": str(error)}
        return render(request, "training/chat.html", context, status=422)
    _send(turn)
    return _to(turn)


@login_required
@require_POST
def chat_stop(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    turn = find_turn(request, slug, pk)
    actions.stop_turn(turn, by=request.user)
    return _to(turn)


@login_required
@require_POST
def chat_again(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    turn = find_turn(request, slug, pk)
    try:
        actions.write_again(turn, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        _send(turn)
    return _to(turn)


@login_required
@require_POST
def chat_vote(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    turn = find_turn(request, slug, pk)
    given = {name: request.POST.get(name, "") for name in ("choice", "rationale")}
    try:
        actions.vote(turn, by=request.user, **given)
    except ValueError as error:
        messages.error(request, str(error))
    return _to(turn)


@login_required
@require_POST
def chat_delete(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    actions.delete_chat(find_chat(request, slug, pk), by=request.user)
    messages.success(request, _("The chat is deleted."))
    return redirect("training:chats", slug)


def _send(turn: ChatTurn) -> None:
    for answer in turn.answers.unfinished():
        write_answer.delay_on_commit(answer.pk)


def _to(turn: ChatTurn) -> HttpResponse:
    return redirect(f"{turn.chat.get_absolute_url()}#turn-{turn.number}")

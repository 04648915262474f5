"""/projects/<slug>/webhooks/ : which programs are told what happens here, and what came of telling them. For admins."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotation import actions
from annotation.forms.programs import WebhookChangeForm, WebhookForm
from annotation.models import Project, Role, Webhook
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 25


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = WebhookForm(request.POST or None)
    if form.is_valid():
        try:
            added = actions.add_webhook(project, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The webhook is on. Give its secret to the receiver, then send a test."))
            return redirect("annotation:webhook", slug, added.pk)
    context = {"project": project, "role": Role.ADMIN, "form": form, "webhooks": project.webhooks.all()}
    return render(request, "annotation/webhooks.html", context, status=422 if form.errors else 200)


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project, found = webhook_for(request, slug, pk)
    before = {"url": found.url, "events": found.events, "is_active": found.is_active}
    form = WebhookChangeForm(request.POST or None, initial=before)
    if form.is_valid():
        try:
            actions.change_webhook(found, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error("url", str(error))
            found.refresh_from_db()
        else:
            messages.success(request, _("The webhook is changed."))
            return redirect("annotation:webhook", slug, pk)
    rows = found.deliveries.prefetch_related("attempts").order_by("-pk")
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "role": Role.ADMIN,
        "webhook": found,
        "form": form,
        "page": page,
        "is_waiting": found.is_active and any(delivery.status == "waiting" for delivery in page),
        "signs_with_both": found.old_secret_until is not None and found.old_secret_until > timezone.now(),
    }
    template = "annotation/webhook.html"
    if request.htmx and request.method != "POST":
        template += "#deliveries"
    return render(request, template, context, status=422 if form.errors else 200)


@person_required
@require_POST
def webhook_secret(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    _project, found = webhook_for(request, slug, pk)
    actions.change_secret(found, by=request.user)
    messages.success(request, _("The secret is new. For 24 hours messages are signed with the old one too."))
    return redirect("annotation:webhook", slug, pk)


@person_required
@require_POST
def webhook_test(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    _project, found = webhook_for(request, slug, pk)
    try:
        actions.send_test(found)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("A test is on its way: what came of it shows below."))
    return redirect("annotation:webhook", slug, pk)


@person_required
@require_POST
def webhook_again(request: PersonRequest, slug: str, pk: int, delivery: int) -> HttpResponse:
    _project, found = webhook_for(request, slug, pk)
    try:
        actions.send_again(get_object_or_404(found.deliveries.select_related("webhook"), pk=delivery))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The message is on its way again."))
    return redirect("annotation:webhook", slug, pk)


@person_required
@require_POST
def webhook_remove(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    _project, found = webhook_for(request, slug, pk)
    actions.remove_webhook(found, by=request.user)
    messages.success(request, _("The webhook to %(url)s is removed.") % {"url": found.url})
    return redirect("annotation:webhooks", slug)


def webhook_for(request: PersonRequest, slug: str, pk: int) -> tuple[Project, Webhook]:
    project = project_for(request, slug, role=Role.ADMIN)
    return project, get_object_or_404(project.webhooks.all(), pk=pk)

"""Whether one is mailed when a run of one's own has ended (/runs/mail/)."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from training.models import RunMail
from training.views.requests import PersonRequest, asked_text


@login_required
@require_POST
def run_mail(request: PersonRequest) -> HttpResponse:
    when = asked_text(request.POST, "when")
    if when in RunMail.When.values:
        RunMail.objects.update_or_create(user=request.user, defaults={"when": when})
        messages.success(request, _("You will be mailed: %(when)s.") % {"when": RunMail.When(when).label})
    else:
        messages.error(request, _("Choose when you want to be mailed."))
    return redirect("training:runs")

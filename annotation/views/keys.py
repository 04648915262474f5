"""/account/keys/ : which key does what on the task page, for the person alone."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotation.forms.keys import KeysForm
from annotation.views.access import PersonRequest, person_required


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: PersonRequest) -> HttpResponse:
    person = request.user
    if request.method == "POST" and "reset" in request.POST:
        return keep(request, {})
    form = KeysForm(request.POST or None, user=person)
    if form.is_valid():
        return keep(request, form.bindings())
    return render(request, "annotation/keys.html", {"form": form}, status=422 if form.errors else 200)


def keep(request: PersonRequest, bindings: dict[str, str]) -> HttpResponse:
    request.user.key_bindings = bindings
    request.user.save(update_fields=["key_bindings"])
    messages.success(request, _("Your keys are kept.") if bindings else _("All keys are the usual ones."))
    return redirect("annotation:keys")

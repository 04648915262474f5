"""/account/tokens/ : a person's own API tokens. A new one is shown once, in the answer to the form that made it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import actions
from annotation.actions import NewToken
from annotation.forms.programs import TokenForm
from annotation.models import ApiToken
from annotation.views.access import PersonRequest, person_required


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def tokens(request: PersonRequest) -> HttpResponse:
    form = TokenForm(request.POST or None, user=request.user)
    created = None
    if form.is_valid():
        created = create(request, form)
        if created is not None:
            form = TokenForm(user=request.user)
    rows = request.user.api_tokens.filter(revoked_at__isnull=True).select_related("project").order_by("-pk")
    context = {"form": form, "tokens": rows, "created": created}
    return render(request, "annotation/tokens.html", context, status=422 if form.errors else 200)


@person_required
@require_POST
def token_revoke(request: PersonRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, user=request.user)
    if actions.revoke_token(token, by=request.user):
        sentence = _("“%(name)s” is revoked: what uses it is refused from now on.")
        messages.success(request, sentence % {"name": token.name})
    return redirect("annotation:tokens")


def create(request: PersonRequest, form: TokenForm) -> NewToken | None:
    values = form.cleaned_data
    try:
        return actions.create_token(
            request.user,
            name=values["name"],
            scopes=values["scopes"],
            project=values["project"],
            expires_at=form.expires_at(),
        )
    except ValueError as error:
        form.add_error(None, str(error))
        return None

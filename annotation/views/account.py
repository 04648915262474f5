"""/account/ : one's own account, its data and its end; /accounts/ : everybody's, for those who run the installation.

Password, e-mail, second factor, sessions and services are allauth's pages: config/account_urls.py.
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation import actions
from annotation.models import Membership, User
from annotation.progress import Work, telling
from annotation.views.access import PersonRequest, person_required

PAGE_SIZE = 50
RECENT_SECONDS = 300


class EraseForm(forms.Form):
    """The password of who asks: of the person, or of who runs the installation."""

    password = forms.CharField(
        label=gettext_lazy("Your password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"})
    )
    username = forms.CharField(label=gettext_lazy("The user name of the account, to be sure"))
    with_texts = forms.BooleanField(
        label=gettext_lazy("Also remove the texts: rationales, notes on skipped tasks, corrected answers"),
        required=False,
    )

    def __init__(self, request: PersonRequest, user: User) -> None:
        super().__init__(request.POST if request.method == "POST" else None)
        self.request, self.user = request, user
        if not request.user.has_usable_password():
            del self.fields["password"]

    def clean(self) -> dict[str, Any]:
        """Who logs in through a service has no password to type: a login of the last minutes stands for it."""
        values = super().clean() or {}
        logins = [record["at"] for record in get_authentication_records(self.request)]
        if "password" not in self.fields and max(logins, default=0) < time.time() - RECENT_SECONDS:
            raise ValidationError(_("Log out and in again first, and come back here within five minutes."))
        return values

    def clean_username(self) -> str:
        typed = str(self.cleaned_data["username"])
        if typed != self.user.username:
            raise ValidationError(_("This is not the name of the account: type it as it is written above."))
        return typed

    def clean_password(self) -> str:
        typed = str(self.cleaned_data["password"])
        # allauth's check, which counts failures as the login does.
        if not get_adapter(self.request).reauthenticate(self.request.user, typed):
            raise ValidationError(_("This is not your password."))
        return typed


@person_required
@require_safe
def account(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    user = whose(request, pk)
    memberships = Membership.objects.filter(user=user).select_related("project").order_by("project__name")
    return render(request, "account/account.html", {"person": user, "memberships": memberships, "pk": pk})


@person_required
@require_POST
def account_export(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    user = whose(request, pk)
    with telling(Work.ACCOUNT_DATA, request.user) as told:
        data = actions.export_account(user, by=request.user, telling=told)
    response = HttpResponse(data, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="plumbline-{timezone.localdate():%Y-%m-%d}.zip"'
    return response


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def account_erase(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    user = whose(request, pk)
    form = EraseForm(request, user)
    if form.is_valid():
        try:
            with telling(Work.ERASURE, request.user) as told:
                actions.erase_account(user, by=request.user, with_texts=form.cleaned_data["with_texts"], telling=told)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            if user == request.user:
                logout(request)
            messages.success(request, _("The account is erased."))
            return redirect("login" if pk is None else "annotation:accounts")
    context = {"person": user, "form": form, "pk": pk}
    return render(request, "account/erase.html", context, status=422 if form.errors else 200)


@person_required
@require_safe
def accounts(request: PersonRequest) -> HttpResponse:
    require_superuser(request)
    people = User.objects.order_by("username")
    if search := request.GET.get("search", "").replace("\0", "").strip():
        people = people.filter(Q(username__icontains=search) | Q(email__icontains=search))
    page = Paginator(people, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "account/accounts.html", {"page": page, "search": search})


def whose(request: PersonRequest, pk: int | None) -> User:
    """Oneself, or with a key anybody whose account is not erased, for those who run the installation."""
    if pk is None:
        return request.user
    require_superuser(request)
    return get_object_or_404(User, pk=pk)


def require_superuser(request: PersonRequest) -> None:
    if not request.user.is_superuser:
        raise PermissionDenied(_("This page is for those who run the installation."))

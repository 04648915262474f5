"""Addresses of people's accounts whose pages are allauth's; /login/ and /logout/ stand in urls.py.

The account's first page and what else is ours (data, invitations) stand in annotation/urls.py.
"""

from allauth.account import views
from django.urls import include, path, re_path

from annotation.views import oidc

urlpatterns = [
    path("signup/", views.signup, name="account_signup"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("confirm/", views.reauthenticate, name="account_reauthenticate"),
    # E-mail
    path("email/", views.email, name="account_email"),
    path("email/sent/", views.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^email/(?P<key>[-:\w]+)/$", views.confirm_email, name="account_confirm_email"),
    # Password
    path("password/", views.password_change, name="account_change_password"),
    path("password/set/", views.password_set, name="account_set_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/sent/", views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("password/reset/done/", views.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    # The second factor, where one is logged in, other services to log in with
    path("two-factor/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
    path("services/", include("allauth.socialaccount.urls")),
    path("oidc/<str:provider_id>/login/", oidc.openid_connect_login, name="openid_connect_login"),
    path("oidc/<str:provider_id>/login/callback/", oidc.openid_connect_callback, name="openid_connect_callback"),
]

"""Every address of the product."""

from allauth.account.decorators import secure_admin_login
from allauth.account.views import login
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from annotation.views.language import set_language

# The admin site has no login of its own: it would know no limits and no second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    # Two names each: ours, and the one that allauth looks up.
    path("login/", login, name="login"),
    path("login/", login, name="account_login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
    path("account/", include("config.account_urls")),
    path("i18n/setlang/", set_language, name="set_language"),
    path("", include("annotation.urls")),
    path("", include("training.urls")),
]

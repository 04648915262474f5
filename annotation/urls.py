"""Addresses of the labelling side: noun / id / verb."""

from django.urls import URLPattern

app_name = "annotation"

urlpatterns: list[URLPattern] = []

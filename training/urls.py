"""Addresses of the training side: noun / id / verb."""

from django.urls import URLPattern

app_name = "training"

urlpatterns: list[URLPattern] = []

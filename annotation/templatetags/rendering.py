"""`{{ text|markdown }}`: a text of a model or a person, rendered and cleaned."""

from django import template

from annotation.rendering import markdown

register = template.Library()
register.filter("markdown", markdown)

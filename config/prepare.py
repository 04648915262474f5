"""What a start needs before the web answers: tables, translations, static files, and on a first start the demo.

    python -m config.prepare        (the launcher runs it once, in a process of its own)

One process for all, because each start of Python and Django costs most of a second.
"""

import os
import sys

import django
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command

from config.catalogues import compile_all

DEMO = "support-replies"


def prepare() -> None:
    compile_all()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    if not settings.IS_LAPTOP:
        call_command("collectstatic", interactive=False, verbosity=0)
    elif os.environ.get("PLUMBLINE_DEMO", "1") != "0" and not apps.get_model("annotation", "Project").objects.exists():
        call_command("load_demo")
        starter = settings.BASE_DIR / "training" / "starter" / "model"
        call_command("register_model", starter, name="starter", project=DEMO, verbosity=0)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    try:
        prepare()
    except CommandError as error:
        sys.exit(str(error))

#!/usr/bin/env python
"""The front door: every command of the product starts here (`python manage.py help`).

A command that needs the database finds the embedded server running; it is stopped again unless it ran before.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

WITHOUT_DATABASE = {"check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages"}


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    needs_database = len(arguments) > 1 and not ({*arguments} & (WITHOUT_DATABASE | {"--help", "-h", "--version"}))
    if needs_database and not os.environ.get("DATABASE_URL"):
        with settings.POSTGRES.running():
            settings.POSTGRES.create_database("plumbline")
            execute_from_command_line(arguments)
    else:
        execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)

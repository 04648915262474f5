"""Projects made from now on ask for an approved review before a policy goes into production; those there are go on as
they did until an admin changes the setting.
"""

from django.db import migrations, models

HELP = "A policy goes into production only after a review of it has been approved."


class Migration(migrations.Migration):
    dependencies = [("annotation", "0011_run_events")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="promotion_needs_approval",
            field=models.BooleanField(default=False, help_text=HELP),
        ),
        migrations.AlterField(
            model_name="project",
            name="promotion_needs_approval",
            field=models.BooleanField(default=True, help_text=HELP),
        ),
    ]

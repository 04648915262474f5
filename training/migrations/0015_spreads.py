from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0014_push_alive"),
    ]

    operations = [
        migrations.AddField(
            model_name="metric",
            name="spreads",
            field=models.JSONField(
                help_text="By metric: counts of the step's single values in bins (training/rlhf/spread.py).", null=True
            ),
        ),
    ]

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


def share(default: float) -> models.FloatField:
    return models.FloatField(
        default=default, validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text="The share of what each person judged that they are asked again, without being told.",
    )


class Migration(migrations.Migration):
    """Projects at work go on as they were; new ones ask again."""

    dependencies = [("annotation", "0008_lighter_labels")]
    operations = [
        migrations.AddField("project", "repeat_share", share(0.0)),
        migrations.AlterField("project", "repeat_share", share(0.05)),
    ]

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0013_chats"),
    ]

    operations = [
        migrations.AddField(
            model_name="hubpush",
            name="alive_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now,
                help_text="When its worker was last heard of; of a queued one, when its message was sent.",
            ),
        ),
    ]

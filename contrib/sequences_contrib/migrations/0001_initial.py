import django.utils.timezone
from django.db import migrations, models

import sequences_core.models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Void",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "counter",
                    sequences_core.models.NameField(
                        help_text="the name of the counter", max_length=255
                    ),
                ),
                ("number", models.BigIntegerField()),
                (
                    "text",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="the number as it was printed",
                        max_length=255,
                    ),
                ),
                ("reason", models.TextField(blank=True, default="")),
                ("who", models.CharField(blank=True, default="", max_length=255)),
                ("when", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("counter", "number"), name="sequences_contrib_one_void"
                    )
                ],
            },
        ),
    ]

import django.utils.timezone
from django.apps import apps
from django.db import migrations, models

import sequences_core.models

# The project's own AppConfig may give the app another label.
LABEL = apps.get_containing_app_config(__name__).label


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
                        help_text="the name of the counter",
                        max_length=255,
                        verbose_name="counter",
                    ),
                ),
                ("number", models.BigIntegerField(verbose_name="number")),
                (
                    "text",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="the number as it was printed",
                        max_length=255,
                        verbose_name="text",
                    ),
                ),
                ("reason", models.TextField(blank=True, default="", verbose_name="reason")),
                (
                    "who",
                    models.CharField(blank=True, default="", max_length=255, verbose_name="who"),
                ),
                (
                    "when",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="when"),
                ),
            ],
            options={
                "verbose_name": "void number",
                "verbose_name_plural": "void numbers",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("counter", "number"), name="sequences_contrib_one_void"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Audit",
            fields=[],
            options={
                "verbose_name": "audit of numbers",
                "verbose_name_plural": "audit of numbers",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=(f"{LABEL}.void",),
        ),
    ]

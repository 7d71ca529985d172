from django.db import migrations, models

import sequences_core.models
from sequences_core.operations import InstallBackend
from sequences_core.table import TABLE


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                (
                    "name",
                    sequences_core.models.NameField(
                        max_length=255, primary_key=True, serialize=False
                    ),
                ),
                ("last", models.BigIntegerField(help_text="the last number taken")),
            ],
            options={
                "db_table": TABLE,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("last__gte", -1)),
                        name="sequences_core_last_from_minus_one",
                    )
                ],
            },
        ),
        InstallBackend(),
    ]

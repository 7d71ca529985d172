from django.apps import apps
from django.db import migrations, models

import sequences_core.models

# The project's own AppConfig may give the app another label.
LABEL = apps.get_containing_app_config(__name__).label


class Migration(migrations.Migration):
    """Add the permission to set a counter, and names for the admin. No column changes."""

    dependencies = [(LABEL, "0001_initial")]

    operations = [
        migrations.AlterModelOptions(
            name="counter",
            options={
                "permissions": [("set_counter", "Can set the last number of a sequence")],
                "verbose_name": "sequence",
                "verbose_name_plural": "sequences",
            },
        ),
        migrations.AlterField(
            model_name="counter",
            name="name",
            field=sequences_core.models.NameField(
                max_length=255, primary_key=True, serialize=False, verbose_name="name"
            ),
        ),
        migrations.AlterField(
            model_name="counter",
            name="last",
            field=models.BigIntegerField(
                help_text="the last number taken", verbose_name="last number"
            ),
        ),
    ]

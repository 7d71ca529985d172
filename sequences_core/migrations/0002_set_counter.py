from django.apps import apps
from django.db import migrations, models

import sequences_core.models

# The app may have another label, by an AppConfig of the user's.
LABEL = apps.get_containing_app_config(__name__).label


class Migration(migrations.Migration):
    """The permission to set a counter, and names for the admin: no database changes."""

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

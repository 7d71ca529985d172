import sequences_contrib.fields
import sequences_contrib.formats
import sequences_contrib.periods
import sequences_contrib.texts
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AutoInvoice",
            fields=[
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="CountInvoice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("number", models.PositiveBigIntegerField(unique=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("number", sequences_contrib.fields.SequenceField(sequence_name="invoices")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="MaxInvoice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("number", models.PositiveBigIntegerField(unique=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="PostedInvoice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("customer", models.CharField(max_length=100)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("issued_on", models.DateField()),
                ("posted", models.BooleanField(default=False)),
                (
                    "number",
                    sequences_contrib.fields.SequenceField(
                        null=True,
                        scope=sequences_contrib.periods.Year("issued_on"),
                        sequence_name="posted invoices",
                        when="posted",
                    ),
                ),
                (
                    "text",
                    sequences_contrib.texts.FormattedNumberField(
                        format=sequences_contrib.formats.NumberFormat(
                            "INV-{issued_on:%Y}-{number:04d}"
                        ),
                        max_length=40,
                        null=True,
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
    ]

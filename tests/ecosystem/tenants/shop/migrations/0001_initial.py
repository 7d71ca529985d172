from django.db import migrations, models
from sequences_contrib.fields import SequenceField

KEY = {"auto_created": True, "primary_key": True, "serialize": False, "verbose_name": "ID"}


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("number", SequenceField(sequence_name="invoices", unique=True)),
                ("note", models.CharField(default="", max_length=20)),
            ],
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("number", models.BigIntegerField(unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="Ticket",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("project", models.CharField(max_length=20)),
                ("number", SequenceField(sequence_name="tickets", unique_with=("project",))),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "number"), name="shop_ticket_project_nuac3858d3"
                    )
                ],
            },
        ),
    ]

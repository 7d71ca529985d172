from django.apps import AppConfig


class FieldConfig(AppConfig):
    name = "benchmarks.field"
    label = "benchmarks_field"

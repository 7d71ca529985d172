from django.apps import AppConfig


class PeerConfig(AppConfig):
    name = "benchmarks.peers.django_seq"
    label = "benchmarks_django_seq"

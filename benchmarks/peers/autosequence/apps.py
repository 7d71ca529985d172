from django.apps import AppConfig


class PeerConfig(AppConfig):
    name = "benchmarks.peers.autosequence"
    label = "benchmarks_autosequence"

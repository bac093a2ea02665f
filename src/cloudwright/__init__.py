"""Cloudwright: a Python-first cloud-native platform for one machine, and a way out to many."""

__version__ = "0.1.0"

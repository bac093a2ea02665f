"""Kubernetes' API as its own programs see it: the same requests to kube-apiserver and to ours.

``scenarios/`` has scripted requests by topic, ``generated.py`` those made by hypothesis from the
OpenAPI schemas; ``compare.py`` says where two answers differ, ``accepted.py`` which differences are
accepted and why. ``python -m tests.standards.kubernetes`` prints them all. ``test_clients_*.py``
drive foreign clients.
"""

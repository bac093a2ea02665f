"""The built-in admission plug-ins that upstream has on by default, one file each.

``model`` has their pure halves (``model.quota``, ``model.limits``, ``model.pod_security``).
"""

"""The node agent: the pods of this machine, their probes, restarts, volumes, logs.

Its neighbours (runtime, network, mesh) are the protocols of ``ports``; ``platform`` fills them
in. May import
``client``, ``model`` and ``_base``.
"""

"""The node agent: the pods of this machine, their probes, restarts, volumes, logs (the kubelet's
job).

Its neighbours (runtime, network, mesh, hooks) are the protocols of ``ports``; ``platform`` fills
them in. ``engine`` decides (pure), ``worker`` acts for one pod, ``agent`` holds the workers. May
import ``client``, ``model`` and ``_base``.
"""

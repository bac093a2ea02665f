"""Requests that are passed on: ``pods/NAME/proxy``, ``services/NAME/proxy``, ``nodes/NAME/proxy``.

``targets`` finds the pod and port that a path means and opens a stream into that very pod (never
to an address: nobody can be sent elsewhere), ``exchange`` speaks HTTP/1.1 there, ``links`` makes
what comes back usable from outside, ``upgrades`` carries WebSockets, ``nodes`` is what a node
answers, ``passing`` puts them together.
"""

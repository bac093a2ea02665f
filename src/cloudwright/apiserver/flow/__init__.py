"""API priority and fairness: no client's requests starve another's.

``schemas`` finds the FlowSchema of a request, ``levels`` gives out seats fairly (pure), ``control``
puts both in front of the core, ``defaults`` are the objects that every cluster has. As upstream's,
``flowcontrol.apiserver.k8s.io/v1``.
"""

"""Which node a pod runs on: filter and score in pure functions, binding through the API.

Speaks the Kubernetes scheduling API (``pods/binding``, condition ``PodScheduled``); runs alone
against any API server as ``driver.run(client)``. May import ``client``, ``model``
and ``_base``.
"""

"""Controllers: from what objects wish to what is there.

``run.run(client, hooks=…)`` runs all of them; ``reconciler.Reconciler`` is the base for your own
(docs/how-to/write-a-reconciler.md); ``python -m cloudwright.operator`` runs them alone against any
Kubernetes API. Decisions are pure functions in ``engines/``, the controllers that carry them out
are one file each in ``controllers/``. May import ``client``, ``model`` and ``_base``.
"""

"""The store of the API server: revisioned keys, watches, history, compaction.

``interface`` says what any store must do (semantics of etcd), ``sqlite`` is the embedded one.
Only this package knows SQLite.
"""

"""The incumbents beside us: built from their published sources, started for tests and benchmarks.

``build.py`` builds kube-apiserver, etcd, kubectl and others outside the clone; ``pki.py`` makes
certificates; ``processes.py`` starts and stops programs; ``real.py`` runs kube-apiserver with etcd
(or kine), ``ours.py`` our API server; ``http.py`` sends requests to either.
"""

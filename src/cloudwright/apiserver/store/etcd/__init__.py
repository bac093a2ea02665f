"""A store over etcd's v3 API (gRPC): the API server then runs replicated on an engine that is
distributed already. Needs the packages of the extra ``etcd`` (grpcio, protobuf), which are
imported only when an ``etcd://`` store is opened.

Keys are kept under a prefix, values as etcd's own revisions stamp them at reading (``values``).
One watch of the whole prefix feeds the same ``Hub`` that the embedded store has, so a thousand
watchers cost etcd one stream.
"""

"""The xDS v3 control plane: what Envoy, proxyless gRPC clients and our own proxy are told by gRPC.

| file | concern |
| --- | --- |
| ``types`` ``wire`` ``cache`` | types; encoding once; immutable sets that know what changed |
| ``state`` ``engine`` ``sotw`` ``delta`` | the protocol of one stream, without input or output |
| ``access`` ``source`` | who may be which node; where a node's resources come from |
| ``documents`` ``files`` | resources from YAML files, reloaded while running |
| ``naming`` ``clusters`` ``vhosts`` ``listeners`` ``secrets`` ``mesh`` | the mesh as resources |
| ``stream`` ``status`` ``server`` | grpc.aio: streams, ClientStatusDiscoveryService, listeners |

grpcio and xds-protos (extra ``cloudwright[xds]``) are imported by ``encode``, ``requests``,
``stream``, ``status`` and ``server`` only, and those only when a server is asked for.
"""

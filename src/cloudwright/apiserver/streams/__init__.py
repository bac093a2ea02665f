"""Interactive streams of pods: exec, attach, port-forward and logs, over WebSocket and SPDY/3.1.

``spdy`` frames without I/O, ``session`` gives its streams, ``takeover`` gets the connection from
the HTTP server, ``channels`` makes both protocols look alike, ``executions``, ``forwards`` and
``podlogs`` use ``model.streams.PodStreams``, ``doors`` decides which of them a request wants.
"""

"""Other people's proxies and ours, in front of the same upstream: for figures and for differences.

| module | concept |
| --- | --- |
| ``places`` | what a proxy is asked to do: its front, its upstream, its certificates |
| ``nginx`` ``haproxy`` ``envoy`` ``golang`` | the peers' configurations |
| ``ours`` | ``cloudwright-native gateway`` |
| ``debian`` | programs of Debian, unpacked beside the system |
"""

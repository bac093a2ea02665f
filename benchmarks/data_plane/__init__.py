"""Parts of ``benchmarks/data_plane.py``.

| module | concept |
| --- | --- |
| ``load`` | runs of h2load: requests, times, the answers' statuses |
| ``process`` | CPU time and memory of a proxy, and which core it has |
| ``bench`` | the proxies of a row, in turns |
| ``requests`` ``latency`` ``residence`` ``scale`` ``filters`` | the rows |
| ``goals`` ``figures`` | what issue 5 asks for; medians, ratios and the table |
"""

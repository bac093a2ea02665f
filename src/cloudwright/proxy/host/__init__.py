"""The process that runs filters: ``python -I -m cloudwright.proxy.host FOLDER``.

Its standard input is a Unix stream socket to the proxy, which starts it.

- ``wire``     the frames of that socket
- ``engine``   runs chains of hooks: undo of a failed filter, time limits, outcomes
- ``entry``    one loaded filter with what it declares
- ``source``   one file → its filters; errors with file and line
- ``folder``   all files of a folder, live reload
- ``process``  the loops: a blocking one, and asyncio's when a filter needs it
"""

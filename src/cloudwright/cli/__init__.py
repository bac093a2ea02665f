"""The command line: one file per verb in ``verbs``; renders, never decides.

``main`` loads only the module of the verb that was asked for, so that ``--help`` and ``get``
start fast: no
module here imports asyncio, aiohttp or cryptography at its top.
"""

"""The resource model: one file per kind, plus quantities, selectors, conditions and schemas.

Pure: no I/O, no clock. An object is a plain JSON mapping (``Object``) exactly as the API serves
it; kinds
that our own controllers decide on also have a frozen dataclass (``MicroService``). May import
``_base`` only.
"""

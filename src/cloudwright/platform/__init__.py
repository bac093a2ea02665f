"""The parts of one machine, started and supervised: ``cloudwright up``, ``down``, ``status``,
``doctor``.

The only room that knows every part: it fills their protocols with each other (``wiring``).
``daemon`` is the
process cloudwrightd, ``lifecycle`` starts and ends it from the outside, ``teardown`` removes
what it made.
"""

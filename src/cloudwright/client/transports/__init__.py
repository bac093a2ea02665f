"""Ways to carry a request: ``https`` (asynchronous), ``blocking`` (for the command line, starts
fast).
"""

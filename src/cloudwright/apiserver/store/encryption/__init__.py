"""Values that are encrypted in the store: upstream's ``EncryptionConfiguration``.

``configuration.py`` reads the file, ``providers.py`` encrypts one value, ``sealed.py`` is a
``Store`` around another one: above it everything is plain, below it the listed kinds are not.
"""

"""What every cluster begins with: namespaces, roles, priorities and flow schemas.

``wishes`` has these objects as somebody would create them. ``seeds.json.gz`` (written by
``scripts/generate_seeds.py``) has them as the server stores them when they are created; ``seed``
puts them into a store with names, times and ids of their own. So a first start writes two hundred
objects without defaulting, validating and encoding each anew; a test says that both are the same.
"""

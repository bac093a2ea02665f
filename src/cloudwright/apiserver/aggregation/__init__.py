"""Other API servers behind this one: ``APIService`` objects with a Service.

``aggregator.py`` follows the objects and knows which paths are whose; ``checks.py`` tells whether
one answers (condition ``Available``) and what it serves; ``proxying.py`` carries requests there,
streams and upgrades included; ``connecting.py`` finds its address and proves who we are;
``documents.py`` puts what it serves into discovery and OpenAPI; ``trust.py`` publishes by what a
foreign API server knows us (ConfigMap ``extension-apiserver-authentication``).

Groups and versions that are served here are not stored: ``synthetic`` lists them beside these.
"""

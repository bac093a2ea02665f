"""Between the native HTTP server and the face: requests and answers, and what the server is told.

The server (crate ``face``) speaks TLS, HTTP/1.1 and HTTP/2 in a thread of its own. ``exchange``
answers its requests, ``feed`` tells it of objects and events, ``native`` is the door to it.
"""

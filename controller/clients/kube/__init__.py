"""The port to the Kubernetes API: a thin client, and informers that keep caches.

All requests to the API server are made here and nowhere else.
"""

"""The HTTP side: metrics for Prometheus, health for whatever starts and stops the process."""

from streamdrift.web.server import Answer, Handler, serve

__all__ = ["Answer", "Handler", "serve"]

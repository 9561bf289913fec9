"""One router per resource; each only reads the request, asks a service and shapes the answer."""

"""Shapes of requests and responses that are the API's own; services define those of their commands."""

"""A stand-in for Stripe, for development and tests only: the endpoints that collecting payments needs.

Objects, errors, idempotency keys, lists and webhooks are shaped as Stripe publishes them; nothing is charged.
"""

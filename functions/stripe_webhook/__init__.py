"""Stripe's webhook: events come in, the plans of users follow.

python -m functions.stripe_webhook list [--dead]      events that have had no effect yet
python -m functions.stripe_webhook replay EVENT_ID    take one up again, from the inbox or from Stripe
python -m functions.stripe_webhook replay --failed    take up all of them
"""

"""Stripe, simulated: its API, its checkout and portal pages, and its webhooks with all their unpleasant habits.

Shapes follow API version 2026-10-28.endive (https://docs.stripe.com/api); older endpoint versions get the older shapes.
"""

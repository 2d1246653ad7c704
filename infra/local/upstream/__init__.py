"""Simulators of the outside world: the five platforms, the search engines, the AI APIs, Stripe and a
creator's site.

One process serves them all; a host X is served under the path `/X/…`. See README.md.
"""

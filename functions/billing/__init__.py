"""Buying a plan and managing it: Stripe's checkout and portal.

python -m functions.billing setup      make (or find) the products, prices and meters at Stripe, and sell them
python -m functions.billing webhook    make the webhook endpoint there and print its signing secret
"""

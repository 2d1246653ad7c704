"""The database as the functions see it: one module for each SQL domain, over one client."""

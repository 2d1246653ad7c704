"""A stand-in for Supabase Auth (https://github.com/supabase/auth), as far as supabase-js and supabase-py use it.

Users, sessions and tokens live in the schema `auth` of the same Postgres, so that triggers on auth.users fire and a
deleted user takes everything along. Sign-ups are confirmed at once; e-mail, SMS, OAuth and MFA flows are left out, and
say so.

    keys.py       the ES256 key: signs access tokens, publishes itself as a JWKS
    passwords.py  hashing
    errors.py     error answers in both of Auth's formats
    users.py      rows of auth.users and auth.identities
    sessions.py   sign-in, refresh with rotation and reuse detection, sign-out
    calls.py      one request, and what handlers share
    account.py    what users do themselves
    admin.py      what the secret key may do
    routes.py     the HTTP face
"""

"""A stand-in for PostgREST 14: HTTP in, one SQL statement, HTTP out.

The path of a request, one module for each step:

    app       routes, CORS, errors            query    the query string, parsed (grammar, parsing)
    tokens    the bearer token -> role        payload  the body, parsed
    plan      names -> the schema cache       sql      the plan -> one statement with bound parameters
    database  one transaction, one round trip response status, headers, body

`config` reads PostgREST's own PGRST_* variables, `schema_cache` reads the catalog, `admin` serves the health checks.
It is a translator, not a second database: values, permissions and types are Postgres's business.
https://docs.postgrest.org/en/v14/
"""

"""Mutation testing of the database: the suite must notice when the schema is made worse in one place. See __main__."""

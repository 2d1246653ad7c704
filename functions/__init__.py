"""StreamVibe's serverless functions: one folder for each endpoint, over connectors and database, over core."""

__version__ = "0.1.0"

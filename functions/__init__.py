"""StreamVibe's serverless functions: one folder for each endpoint, over connectors and database, over core."""

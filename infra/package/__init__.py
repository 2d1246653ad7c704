"""Builds the Lambda artefacts: one zip for each function of serverless.yml, with only what that function imports."""

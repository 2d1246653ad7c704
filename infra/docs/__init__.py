"""The generated parts of the documentation. `make docs` writes them; a test compares them with what they describe."""

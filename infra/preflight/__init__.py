"""Looks at everything a deployment stands on, before and after it, and says what to do about what is not right."""

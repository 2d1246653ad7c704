"""The demo: one creator's journey through StreamVibe on the local stack. `make demo` runs it."""

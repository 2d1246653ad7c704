"""The benchmarks: what is measured is a ratio to a baseline that alternates with it in the same run.

A module `bench_<name>.py` has a function `run(progress) -> list[Ratio]`; `python -m infra.bench` runs them all.
"""

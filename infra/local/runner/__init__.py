"""Stands in for AWS Lambda, its API Gateway HTTP API, EventBridge schedules and SQS event source mappings.

It reads `serverless.yml`, imports the very handlers named there and calls them with the events that AWS would send.

    service.py    serverless.yml -> functions, routes, schedules, queues
    events.py     the shapes of events
    invoke.py     calling a handler: context, errors, time limit
    gateway.py    the HTTP API (ASGI), and `/_local/*` for tests
    reference.py  the page `/_local/docs`
    clock.py      schedules
    queues.py     SQS: creating the queues, polling, partial failures
    __main__.py   `serve` (HTTP and schedules) and `work` (queues), each a process of its own
"""

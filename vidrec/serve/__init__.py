"""The page and its API, over HTTP: one session, kept open, asked by many.

    run       the server: where it listens, how it ends, what slow clients may cost
    thrift    memory that is freed is given back, processors that are not needed, too
    app       the application: its parts put together
    guard     who may ask: Host, Origin, token, rate, size and time of a request
    asking    recommend and similar; ``parts`` makes a query of what was sent
    browsing  videos, status, suggestions, health, metrics
    recent    pages of the list, as they were a moment ago
    playing   videos, posters and previews; ``workshop`` makes what browsers can play
    models    what is sent and answered, and with it the OpenAPI document
    agents    the same for agents, over stdin and stdout (MCP)
    problems  errors as answers, without paths, keys and traces

Nothing that comes over HTTP ever names a file: a video is asked for by its id, a query is of
texts, ids and what was uploaded with it.
"""

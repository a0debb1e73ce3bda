"""The web client: HTML pages over a `Reader`, with their templates, scripts and styles."""

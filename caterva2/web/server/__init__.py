"""uvicorn, its protocol and its response bodies."""

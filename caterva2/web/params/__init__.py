"""Parameters and bodies of requests, parsed and bounded."""

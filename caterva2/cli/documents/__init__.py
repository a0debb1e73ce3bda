"""Man pages and completions of the commands, made from their parsers and settings."""

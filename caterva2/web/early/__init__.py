"""Answers that are made before routes, tasks and threads are involved, of what is in memory."""

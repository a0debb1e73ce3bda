"""What is measured, a module a topic.

Each has ``run(scale, place)``, which works in an empty directory and gives its table.
"""

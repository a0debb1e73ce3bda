"""Infrastructure of services: life cycle, tasks, durable files, budgets and memory."""

"""What services run on: life cycle, tasks, durable files, budgets and memory."""

"""Pages of users: login, their own accounts, and those of others for superusers."""

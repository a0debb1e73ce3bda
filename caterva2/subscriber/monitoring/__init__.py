"""What a subscriber measures of itself and its roots."""

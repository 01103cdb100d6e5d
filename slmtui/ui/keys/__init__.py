"""What a person can ask for: one table of commands for each place."""

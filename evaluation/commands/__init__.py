"""The command line of this floor, a command a file. Light to import: what is heavy is imported when a command runs."""

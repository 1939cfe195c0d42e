"""The command line of this floor, a file a subject."""

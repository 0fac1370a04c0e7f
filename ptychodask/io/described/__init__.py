"""What is in the files that programs of ours write: one description per kind, checked before anything is read."""

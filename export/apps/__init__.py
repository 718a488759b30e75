"""Apps: which file a platform takes, and the code that calls it there."""

"""Files for apps: the format of each platform, and the code that calls the file."""

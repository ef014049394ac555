package main

// umask does not exist here; files inherit the directory's rights.
func umask() {}

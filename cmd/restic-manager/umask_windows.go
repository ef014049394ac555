package main

// setUmask does nothing: on Windows a file takes the rights of its folder.
func setUmask() {}

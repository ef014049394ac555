package private

// mend does nothing: on Windows a file has the rights of its folder.
func mend(string) string { return "" }

package inspect

// owner says what to do about a file that must not be opened.
func owner(string) string {
	return "the user this runs as must not write it; run this as the user that the service runs as"
}

func readOnly(error) bool { return false }

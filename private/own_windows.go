package private

// Own does nothing: a file has the rights of its folder.
func Own(string, ...string) error { return nil }

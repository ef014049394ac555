package process

import "os"

// runnable is how an open file is run: by its descriptor, so that nothing can be
// put into its place meanwhile. A script's interpreter reads it by the same.
func runnable(_ string, file *os.File) (Invocation, error) {
	return Invocation{Path: "/proc/self/fd/3", Files: []*os.File{file}}, nil
}

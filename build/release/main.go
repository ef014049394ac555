// Command release makes what is released beside the packages that nfpm and wixl make: the
// image, zip files, the list of what is in a program, and checksums with a signature.
// make packages runs it. What it makes depends on its input and SOURCE_DATE_EPOCH alone.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

const usage = `release zip OUT NAME=FILE ...      a zip file of these files
release sbom OUT PROGRAM ...       the modules in these programs, as CycloneDX
release image OUT VERSION AGENTS ARCH=PROGRAM ...   an image of the control plane, which hands out the agents
                                   in the directory AGENTS, as an OCI archive
release sums DIR                   DIR/SHA256SUMS
release sign FILE SECRET-KEY       FILE.minisig; the key's password is read from standard input
release verify DIR PUBLIC-KEY      that DIR/SHA256SUMS is signed, and names all that is there
release manifest DIR VERSION       DIR/manifest.json, of the programs of the agent in DIR: what an update is
release manifest-signed DIR SIGNATURE KEY   SIGNATURE as DIR/manifest.json.minisig, if it is the public KEY's
release msi FILE                   takes the moment and the chance out of what wixl made`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage:\n" + usage)
	}
	deed, args := args[0], args[1:]
	switch {
	case deed == "zip" && len(args) >= 2:
		return zipped(args[0], args[1:])
	case deed == "sbom" && len(args) >= 2:
		return listed(args[0], args[1:])
	case deed == "image" && len(args) >= 4:
		return image(args[0], args[1], args[2], args[3:])
	case deed == "sums" && len(args) == 1:
		return sums(args[0])
	case deed == "sign" && len(args) == 2:
		return sign(args[0], args[1], os.Stdin)
	case deed == "verify" && len(args) == 2:
		return verify(args[0], args[1])
	case deed == "manifest" && len(args) == 2:
		return manifest(args[0], args[1])
	case deed == "manifest-signed" && len(args) == 3:
		return manifestSigned(args[0], args[1], args[2])
	case deed == "msi" && len(args) == 1:
		return settled(args[0])
	}
	return errors.New("usage:\n" + usage)
}

// moment is that of everything in a release: SOURCE_DATE_EPOCH, the moment of the commit.
func moment() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, and no moment in seconds", text)
	}
	return time.Unix(n, 0).UTC(), nil
}

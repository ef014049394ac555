// Command gen makes the database of a large installation, to look at and to
// measure by hand:
//
//	go run ./e2e/fleet/gen --hosts 1000 DIR
//	restic-manager serve --data DIR
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/e2e/fleet"
)

func main() {
	size := fleet.DefaultSize()
	flag.IntVar(&size.Hosts, "hosts", size.Hosts, "how many `hosts`")
	flag.IntVar(&size.Days, "days", size.Days, "how many `days` of jobs")
	flag.IntVar(&size.PerRepository, "per-repository", size.PerRepository, "how many `hosts` share a repository")
	flag.Int64Var(&size.LogBytes, "log-bytes", size.LogBytes, "how many `bytes` of logs are kept")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: gen [flags] DIR")
		flag.PrintDefaults()
		os.Exit(2)
	}
	began := time.Now()
	if err := fleet.Make(context.Background(), flag.Arg(0), size); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
	fmt.Printf("%d hosts with %d days of jobs in %s, made in %s; sign in as %s with %q\n",
		size.Hosts, size.Days, flag.Arg(0), time.Since(began).Round(time.Second/10), fleet.User, fleet.Password)
}

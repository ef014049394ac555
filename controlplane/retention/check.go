// Package retention decides which snapshots of a repository stay.
package retention

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/restic-manager/restic-manager/store"
)

var duration = regexp.MustCompile(`^([0-9]{1,5}y)?([0-9]{1,5}m)?([0-9]{1,5}d)?([0-9]{1,5}h)?$`)

// Check refuses rules that cannot be kept to. On an append-only repository
// whoever may add snapshots could push the others out of any count.
func Check(k store.Keep, appendOnly bool) error {
	for _, r := range []struct{ name, value string }{{"keep_within", k.Within}, {"keep_within_hourly", k.WithinHourly}, {"keep_within_daily", k.WithinDaily},
		{"keep_within_weekly", k.WithinWeekly}, {"keep_within_monthly", k.WithinMonthly}, {"keep_within_yearly", k.WithinYearly}} {
		if !duration.MatchString(r.value) {
			return fmt.Errorf("%s: %.40q is no duration as restic writes it, as in 30d or 1y6m", r.name, r.value)
		}
	}
	counts := []int{k.Last, k.Hourly, k.Daily, k.Weekly, k.Monthly, k.Yearly}
	some := false
	for _, n := range counts {
		if n < 0 || n > 100_000 {
			return fmt.Errorf("%d is no number of snapshots to keep", n)
		}
		some = some || n > 0
	}
	if some && appendOnly {
		return errors.New("counts are not kept to on an append-only repository: whoever may add snapshots could push the others out; use keep_within and its kin")
	}
	return nil
}

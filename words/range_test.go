package words

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestATimeFromOutsideIsOneThatCanBe(t *testing.T) {
	for _, c := range []struct {
		ms, want int64
		believed bool
	}{
		{0, 0, true},
		{2, 2, true},
		{time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC).UnixMilli(), 1795914123000, true},
		{LatestTime - 1, LatestTime - 1, true},
		{LatestTime, LatestTime, false},
		{LatestTime + 1, LatestTime, false},
		{4_611_686_018_427_387_904, LatestTime, false}, // the year 146,138,514,283
		{math.MaxInt64, LatestTime, false},
		{1, 1, false},
		{-1, 1, false},
		{math.MinInt64, 1, false},
	} {
		if got := Time(c.ms); got != c.want || Believed(c.ms) != c.believed || Time(got) != got {
			t.Errorf("%d is taken as %d, believed %t; want %d, %t", c.ms, got, Believed(c.ms), c.want, c.believed)
		}
		if _, err := json.Marshal(At(c.ms).UTC()); err != nil {
			t.Errorf("%d: %v", c.ms, err)
		}
		for _, shown := range []string{Stamp(t.Context(), At(c.ms)), Clock(t.Context(), At(c.ms), time.Now()), Ago(At(c.ms), time.Now()),
			Full(t.Context(), At(c.ms)), Day(t.Context(), At(c.ms)), Entry(t.Context(), At(c.ms), time.Now()), In(At(c.ms), time.Now())} {
			if (shown == OutOfRange) == c.believed {
				t.Errorf("%d is shown as %q", c.ms, shown)
			}
		}
	}
	for _, c := range []struct {
		a, b int64
		want time.Duration
	}{
		{1, 2, time.Millisecond},
		{2, 1, -time.Millisecond},
		{1, LatestTime, math.MaxInt64},
		{math.MinInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, math.MinInt64, -math.MaxInt64},
	} {
		if got := Between(c.a, c.b); got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
